collect_ignore = ["toy_codec.py"]  # collected for doctests it would be a second class of its name
