"""The configuration: composed, explained and checked before anything is made from it. Torch-free."""
