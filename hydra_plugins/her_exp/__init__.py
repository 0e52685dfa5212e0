"""Our plugins for Hydra, which takes launchers and sweepers from `hydra_plugins` only."""
