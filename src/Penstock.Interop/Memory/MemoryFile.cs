namespace Penstock.Interop;

/// <summary>Anonymous memory with a descriptor (memfd), which can be mapped, sealed and passed to another process.</summary>
public sealed class MemoryFile : IDisposable
{
    private MemoryFile(OwnedDescriptor descriptor, ulong size)
    {
        Descriptor = descriptor;
        Size = size;
    }

    /// <summary>The descriptor; this object owns it.</summary>
    public OwnedDescriptor Descriptor { get; }

    /// <summary>Size in bytes, as created.</summary>
    public ulong Size { get; }

    /// <summary>Creates a memory file of zeroes.</summary>
    /// <param name="name">A name for /proc, not a path.</param>
    /// <param name="size">Size in bytes.</param>
    /// <param name="seals">Seals to set once it has its size.</param>
    /// <param name="ledger">Where the descriptor is counted, if anywhere.</param>
    /// <returns>The file.</returns>
    /// <exception cref="SystemCallException">The system refused.</exception>
    public static MemoryFile Create(string name, ulong size, MemorySeals seals = MemorySeals.None, ResourceLedger? ledger = null)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(size, (ulong)long.MaxValue);
        int fd = Native.memfd_create(name, Native.MFD_CLOEXEC | Native.MFD_ALLOW_SEALING);
        if (fd < 0)
        {
            throw Native.Failure("memfd_create", name);
        }

        var descriptor = new OwnedDescriptor(fd, ledger);
        try
        {
            while (Native.ftruncate(fd, (long)size) != 0)
            {
                if (Native.LastError != Errno.EINTR)
                {
                    throw Native.Failure($"ftruncate({size})", name);
                }
            }

            var file = new MemoryFile(descriptor, size);
            if (seals != MemorySeals.None)
            {
                file.AddSeals(seals);
            }

            return file;
        }
        catch
        {
            descriptor.Dispose();
            throw;
        }
    }

    /// <summary>Adds seals; they can never be removed.</summary>
    /// <param name="seals">The seals.</param>
    /// <exception cref="SystemCallException">The file refuses, for example because it is sealed against sealing (EPERM).</exception>
    public void AddSeals(MemorySeals seals)
    {
        if (Native.fcntl(Descriptor.Value, Native.F_ADD_SEALS, (nint)seals) < 0)
        {
            throw Native.Failure($"fcntl(F_ADD_SEALS, {seals})", $"descriptor {Descriptor.Value}");
        }
    }

    /// <inheritdoc/>
    public void Dispose() => Descriptor.Dispose();
}
