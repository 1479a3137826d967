# The path an environment variable names, or the other one.
name: default: if builtins.getEnv name == "" then default else /. + builtins.getEnv name
