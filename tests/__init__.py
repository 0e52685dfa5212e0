"""The tests: a folder for each room of her_exp, and some for what is about several."""
