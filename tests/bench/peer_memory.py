"""What freed memory costs a peer: glibc gives large blocks back to the system at once, so that each decoded image of 3 MB comes on pages
that the kernel clears anew (1,500 faults an image, half of what OpenCV takes to decode it). A ceiling, and a rival that is tuned, do
without."""
import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3


def keep_freed():
    """Before the first large block is asked for."""
    libc = ctypes.CDLL(None)
    for parameter in (MMAP_THRESHOLD, TRIM_THRESHOLD):
        if not libc.mallopt(parameter, 1 << 30):
            raise OSError("glibc's mallopt refuses its thresholds")
