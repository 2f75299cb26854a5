"""What ministack lacks. Runs in the emulator's own environment, so it must not import dayfly.

Each addition says which behaviour of AWS it stands for, and where AWS documents it. ministack is pinned
exactly, since private names of it are replaced here; `__main__` starts everything, `world` is the state that
the additions share, and the other files each add one part.
"""
