/** Which pod this is. The kernel's host name is the pod's; the variable HOSTNAME is the listen address. */
import { hostname } from "node:os";

export const pod = hostname();
