{ version = "1.8.2"; released = true; }
