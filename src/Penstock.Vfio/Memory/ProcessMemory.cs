using System.Runtime.InteropServices;
using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>Memory of this process that a driver in the same process offers to a device.</summary>
public sealed unsafe class ProcessMemory : UserMemory
{
    private const int Page = 4096;

    private readonly byte* _pointer;
    private readonly bool _owned;
    private readonly DmaAccess _allowed;
    private readonly ResourceLedger? _ledger;

    private ProcessMemory(byte* pointer, ulong length, DmaAccess allowed, bool owned, ResourceLedger? ledger)
        : base(length)
    {
        _pointer = pointer;
        _allowed = allowed;
        _owned = owned;
        _ledger = ledger;
    }

    /// <inheritdoc/>
    public override nint DirectAddress => (nint)_pointer;

    /// <inheritdoc/>
    public override DmaAccess Allowed => _allowed;

    /// <summary>Allocates page-aligned memory of zeroes, given back with the last reference.</summary>
    /// <param name="length">Length in bytes, at least 1.</param>
    /// <param name="ledger">Where it is counted, if anywhere.</param>
    /// <returns>The memory, with one reference.</returns>
    public static ProcessMemory Allocate(ulong length, ResourceLedger? ledger = null)
    {
        ArgumentOutOfRangeException.ThrowIfZero(length);

        // SAFETY: freed by Free, once.
        byte* pointer = (byte*)NativeMemory.AlignedAlloc((nuint)length, Page);
        NativeMemory.Clear(pointer, (nuint)length);
        ledger?.Acquired(ResourceKind.NativeBlock);
        return new ProcessMemory(pointer, length, DmaAccess.ReadWrite, owned: true, ledger);
    }

    /// <summary>
    /// Offers addresses that somebody else owns and keeps valid until <see cref="UserMemory.Release"/> has been called as often as
    /// references were taken.
    /// </summary>
    /// <param name="address">First byte.</param>
    /// <param name="length">Length in bytes, at least 1.</param>
    /// <param name="allowed">What mappings may grant.</param>
    /// <returns>The memory, with one reference.</returns>
    public static ProcessMemory Over(nint address, ulong length, DmaAccess allowed = DmaAccess.ReadWrite)
    {
        ArgumentOutOfRangeException.ThrowIfZero(address);
        ArgumentOutOfRangeException.ThrowIfZero(length);
        return new ProcessMemory((byte*)address, length, allowed, owned: false, null);
    }

    /// <summary>A part of the memory, for its owner to look at; valid while a reference is held.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Length in bytes.</param>
    /// <returns>The bytes.</returns>
    public Span<byte> Span(ulong offset, int length)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, Length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan((ulong)length, Length - offset);

        // SAFETY: checked above.
        return new Span<byte>(_pointer + offset, length);
    }

    /// <inheritdoc/>
    public override Errno Read(ulong offset, Span<byte> destination)
    {
        if (offset > Length || (ulong)destination.Length > Length - offset)
        {
            return Errno.EFAULT;
        }

        Span(offset, destination.Length).CopyTo(destination);
        return Errno.None;
    }

    /// <inheritdoc/>
    public override Errno Write(ulong offset, ReadOnlySpan<byte> source)
    {
        if (offset > Length || (ulong)source.Length > Length - offset || (_allowed & DmaAccess.Write) == 0)
        {
            return Errno.EFAULT;
        }

        source.CopyTo(Span(offset, source.Length));
        return Errno.None;
    }

    /// <inheritdoc/>
    protected override void Free()
    {
        if (_owned)
        {
            // SAFETY: ours, and nobody holds it any more.
            NativeMemory.AlignedFree(_pointer);
            _ledger?.Released(ResourceKind.NativeBlock);
        }
    }
}
