"""What holds for all tests: Ctrl-C reaches them, and what they start, also where whoever starts them ignores it."""

import signal

# A shell that is not interactive lets what it starts in the background ignore SIGINT, and so does all that is started
# from there. Several tests interrupt a process of theirs.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
