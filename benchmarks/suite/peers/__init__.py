<<<<<<< HEAD
"""The workloads written for other libraries, each of which needs that library and not staticgrad."""
=======
"""The programs of the suite, one module for each library; each is imported in the environment of its library only."""
>>>>>>> 899a863cf5bfd04e4c2fc70ce47c094350852651
