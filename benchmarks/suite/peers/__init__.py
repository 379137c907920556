"""The programs of the suite, one module for each library; each is imported in the environment of its library only."""
