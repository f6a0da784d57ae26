namespace Penstock.Interop;

/// <summary>
/// Copies between a span and an address of this process that somebody else named: an address where nothing is mapped is an error here,
/// where a touch would end the process. May be called from any thread; allocates nothing.
/// </summary>
public static unsafe class AddressCopy
{
    /// <summary>Copies out of memory.</summary>
    /// <param name="address">First byte.</param>
    /// <param name="destination">Where to copy, and how much.</param>
    /// <returns>None; EFAULT: not all of it can be read.</returns>
    public static Errno Read(ulong address, Span<byte> destination)
    {
        // SAFETY: the kernel checks the far side; the near side is pinned for the call.
        fixed (byte* near = destination)
        {
            return Copy(address, near, destination.Length, write: false);
        }
    }

    /// <summary>Copies into memory.</summary>
    /// <param name="address">First byte.</param>
    /// <param name="source">What to copy.</param>
    /// <returns>None; EFAULT: not all of it can be written.</returns>
    public static Errno Write(ulong address, ReadOnlySpan<byte> source)
    {
        // SAFETY: as in Read.
        fixed (byte* near = source)
        {
            return Copy(address, near, source.Length, write: true);
        }
    }

    private static Errno Copy(ulong address, byte* near, int length, bool write)
    {
        if (length == 0)
        {
            return Errno.None;
        }

        var local = new Native.IoVector { Base = near, Length = (nuint)length };
        var remote = new Native.IoVector { Base = (void*)address, Length = (nuint)length };
        nint done = write
            ? Native.process_vm_writev(Environment.ProcessId, &local, 1, &remote, 1, 0)
            : Native.process_vm_readv(Environment.ProcessId, &local, 1, &remote, 1, 0);
        return done == length ? Errno.None : Errno.EFAULT;
    }
}
