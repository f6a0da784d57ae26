using System.Runtime.InteropServices;

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
    /// <exception cref="PlatformNotSupportedException">This processor's number of the call is not known here.</exception>
    public static bool Wait(uint* word, uint value, TimeSpan time)
    {
        long nanoseconds = Math.Max(0, (long)time.TotalNanoseconds);
        long* limit = stackalloc long[2] { nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000 };

        // SAFETY: the kernel reads the word and the time, and answers EFAULT for a word that is not there.
        return Native.syscall_futex(Number, word, Native.FUTEX_WAIT, value, limit, null, 0) == 0 || Native.LastError != Errno.ETIMEDOUT;
    }

    /// <summary>Wakes everybody who sleeps on a word.</summary>
    /// <param name="word">The word.</param>
    public static void WakeAll(uint* word) => Native.syscall_futex(Number, word, Native.FUTEX_WAKE, int.MaxValue, null, null, 0);

    private static nint Number => RuntimeInformation.ProcessArchitecture switch
    {
        Architecture.X64 => 202,
        Architecture.Arm64 or Architecture.RiscV64 or Architecture.LoongArch64 => 98,
        Architecture.S390x => 238,
        Architecture.Ppc64le => 221,
        Architecture other => throw new PlatformNotSupportedException($"waiting on shared memory: the number of futex on {other} is not known"),
    };
}
