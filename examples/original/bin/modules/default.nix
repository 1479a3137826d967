# Definitions of the original project import this path. The program brings the options itself.
{ }
