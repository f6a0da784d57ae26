namespace Penstock.Interop;

/// <summary>Waiting for a word of shared memory to change, across processes (futex). All members may be called from any thread.</summary>
public static unsafe class Futex
{
    /// <summary>Sleeps while the word has a value.</summary>
    /// <param name="word">The word, four bytes aligned, in a shared mapping.</param>
    /// <param name="value">The value.</param>
    /// <param name="time">How long at most.</param>
    /// <returns>
    /// Whether it may be worth a look: false only when the time is over. The word may still have the value: whoever waits looks again.
    /// </returns>
    public static bool Wait(uint* word, uint value, TimeSpan time)
    {
        long nanoseconds = Math.Max(0, (long)time.TotalNanoseconds);
        long* limit = stackalloc long[2] { nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000 };

        // SAFETY: the kernel reads the word and the time, and answers EFAULT for a word that is not there.
        return Native.syscall_futex(SystemCallNumbers.Futex, word, Native.FUTEX_WAIT, value, limit, null, 0) == 0 || Native.LastError != Errno.ETIMEDOUT;
    }

    /// <summary>Wakes everybody who sleeps on a word.</summary>
    /// <param name="word">The word.</param>
    public static void WakeAll(uint* word) => Native.syscall_futex(SystemCallNumbers.Futex, word, Native.FUTEX_WAKE, int.MaxValue, null, null, 0);
}
