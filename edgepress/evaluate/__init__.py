"""How good it is: a bundle on a folder of examples, a picture codec beside others."""
