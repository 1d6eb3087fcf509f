"""A throwaway Kubernetes and its images for one Linux machine."""
