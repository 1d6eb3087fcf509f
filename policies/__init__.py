"""What no stack may do: rules over a graph of resources. Leaves out what is deployed."""
