using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Testing;

/// <summary>Part of a test's memory for one mapping. It is in use until mapping and holds have all gone.</summary>
internal sealed class OfferedMemory : UserMemory
{
    private readonly TestMemory _memory;
    private readonly ulong _offset;

    internal OfferedMemory(TestMemory memory, ulong offset, ulong length)
        : base(length)
    {
        _memory = memory;
        _offset = offset;
    }

    public override nint DirectAddress => _memory.Kind == TestMemoryKind.Direct ? (nint)((ulong)_memory.Address + _offset) : 0;

    public override Errno Read(ulong offset, Span<byte> destination)
    {
        if (offset > Length || (ulong)destination.Length > Length - offset)
        {
            return Errno.EFAULT;
        }

        _memory.Bytes.Slice((int)(_offset + offset), destination.Length).CopyTo(destination);
        return Errno.None;
    }

    public override Errno Write(ulong offset, ReadOnlySpan<byte> source)
    {
        if (offset > Length || (ulong)source.Length > Length - offset)
        {
            return Errno.EFAULT;
        }

        source.CopyTo(_memory.Bytes[(int)(_offset + offset)..]);
        return Errno.None;
    }

    protected override void Free() => _memory.Returned();
}
