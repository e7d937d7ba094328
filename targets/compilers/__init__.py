"""The compilers: each turns a graph and a target into what runs on the target."""
