"""What runs in the container around the rehearsed instances: AWS's API, the metadata service, the registry.

It runs in the rehearsal's image, which has Python and Debian's packages, and does not import dayfly.
"""
