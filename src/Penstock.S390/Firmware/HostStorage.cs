using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.S390;

/// <summary>
/// The part of the modelled host's absolute storage that firmware shares with it: structures whose addresses have 31 bits. Addresses from
/// <see cref="Length"/> on are addresses of this process instead: pinned memory of guests. All members may be called from any thread.
/// </summary>
public sealed unsafe class HostStorage : IDisposable
{
    /// <summary>Length in bytes; address 0 is never given away.</summary>
    public const uint Length = 0x1_0000;

    private const int Granule = 32;

    private readonly Lock _gate = new();
    private readonly bool[] _used = new bool[Length / Granule];
    private readonly ResourceLedger? _ledger;
    private readonly byte* _base;
    private bool _disposed;

    internal HostStorage(ResourceLedger? ledger)
    {
        _ledger = ledger;
        _used[0] = true;

        // SAFETY: freed by Dispose, once.
        _base = (byte*)NativeMemory.AlignedAlloc(Length, Length);
        NativeMemory.Clear(_base, Length);
        ledger?.Acquired(ResourceKind.NativeBlock);
    }

    /// <summary>Takes a piece, which is all zeroes.</summary>
    /// <param name="length">Length in bytes.</param>
    /// <param name="alignment">Alignment in bytes, a power of 2.</param>
    /// <returns>Its address.</returns>
    /// <exception cref="VfioException">ENOMEM: nothing is left.</exception>
    public uint Allocate(int length, int alignment)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(length);
        int step = Math.Max(alignment / Granule, 1);
        int count = (length + Granule - 1) / Granule;
        lock (_gate)
        {
            for (int at = step; at + count <= _used.Length; at += step)
            {
                if (!_used.AsSpan(at, count).Contains(true))
                {
                    _used.AsSpan(at, count).Fill(true);
                    new Span<byte>(_base + (at * Granule), count * Granule).Clear();
                    return (uint)(at * Granule);
                }
            }
        }

        throw new VfioException(Errno.ENOMEM, $"taking {length} bytes of host storage", "nothing is left; fewer machines fit");
    }

    /// <summary>Gives a piece back.</summary>
    /// <param name="address">Its address.</param>
    /// <param name="length">The length with which it was taken.</param>
    public void Free(uint address, int length)
    {
        lock (_gate)
        {
            _used.AsSpan((int)address / Granule, (length + Granule - 1) / Granule).Clear();
        }
    }

    /// <summary>Where an absolute address is in this process. Takes no lock.</summary>
    /// <param name="address">The address.</param>
    /// <returns>The address in this process.</returns>
    public nint Resolve(ulong address) => address < Length ? (nint)_base + (nint)address : (nint)address;

    /// <summary>Bytes of this storage.</summary>
    /// <param name="address">First one.</param>
    /// <param name="length">How many.</param>
    /// <returns>The bytes.</returns>
    public Span<byte> Bytes(uint address, int length)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((ulong)address + (uint)length, Length, nameof(length));

        // SAFETY: checked above.
        return new Span<byte>(_base + address, length);
    }

    /// <summary>Gives everything back; nobody may use an address of it any more.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
        }

        // SAFETY: ours, and its users are gone.
        NativeMemory.AlignedFree(_base);
        _ledger?.Released(ResourceKind.NativeBlock);
    }
}
