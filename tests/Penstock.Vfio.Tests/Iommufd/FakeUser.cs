using Penstock.Interop;

namespace Penstock.Vfio.Tests.Iommufd;

/// <summary>A user's address space with one stretch of memory in it, of which a part may be read-only.</summary>
internal sealed class FakeUser(ulong address, ulong length) : IUserAddressSpace, IDisposable
{
    private readonly ProcessMemory _memory = ProcessMemory.Allocate(length);

    /// <summary>First address that cannot be written.</summary>
    public ulong ReadOnlyFrom { get; set; } = ulong.MaxValue;

    /// <summary>A page that is not there.</summary>
    public ulong? Hole { get; set; }

    /// <summary>Whether it is a device's registers.</summary>
    public bool IsReserved { get; set; }

    public bool IsGone { get; set; }

    /// <summary>How often the memory is in use by others.</summary>
    public int Holds { get; private set; }

    /// <summary>How often the memory can still be had.</summary>
    public int Budget { get; set; } = int.MaxValue;

    public Span<byte> Span(ulong at, int count) => _memory.Span(at - address, count);

    public Errno Read(ulong at, Span<byte> destination) => _memory.Read(at - address, destination);

    public Errno Write(ulong at, ReadOnlySpan<byte> source) => _memory.Write(at - address, source);

    public UserMemory Resolve(ulong at, ulong count, DmaAccess access)
    {
        if (at < address || at - address > length || count > length - (at - address)
            || ((access & DmaAccess.Write) != 0 && at + count > ReadOnlyFrom) || (Hole >= at && Hole < at + count) || Budget-- <= 0)
        {
            throw new VfioException(Errno.EFAULT, "the fake's memory", "there is none");
        }

        Holds++;
        return new Part(this, at - address, count);
    }

    public void Dispose() => _memory.Release();

    private sealed class Part(FakeUser owner, ulong offset, ulong count) : UserMemory(count)
    {
        public override bool IsReserved => owner.IsReserved;

        public override nint DirectAddress => owner._memory.DirectAddress + (nint)offset;

        public override Errno Read(ulong at, Span<byte> destination) => owner._memory.Read(offset + at, destination);

        public override Errno Write(ulong at, ReadOnlySpan<byte> source) => owner._memory.Write(offset + at, source);

        protected override void Free() => owner.Holds--;
    }
}
