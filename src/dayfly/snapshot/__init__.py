"""An exact Git commit, or the working tree as one, as a bundle that can be unpacked without Git.

`plan` finds out what would be carried and refuses what must not be; `bundle` writes it to a file; `unpack`
makes a checkout of that file where there is no Git.
"""
