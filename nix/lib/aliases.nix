# Option names of the original project that keep working. Each is a part of its own in ../modules/aliases: a definition
# that declares one of them itself is evaluated without that part.
[
  "_disko_source"
  "admin"
  "colmena"
  "gateway"
  "interface"
  "ip"
  "k3s"
  "netmask"
  "partitioning"
  "setup"
  "subnet"
]
