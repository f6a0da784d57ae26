using System.Runtime.CompilerServices;
using Penstock.Specs.Zpci;

namespace Penstock.S390;

/// <summary>Where a walk through I/O tables ended.</summary>
public readonly struct IoWalk
{
    private const uint ValidBit = 0x100;
    private const uint WriteBit = (uint)ZpciIoTable.Protected;
    private const int FaultShift = 16;

    private readonly ulong _iova;

    // Level in the low byte, the two bits above, fault in the high half.
    private readonly uint _ended;

    private IoWalk(ulong iova, ulong address, uint ended)
    {
        _iova = iova;
        Address = address;
        _ended = ended;
    }

    /// <summary>The address that was walked for.</summary>
    public ulong Iova => _iova;

    /// <summary>Where it leads, offset in the frame included; 0 when it leads nowhere.</summary>
    public ulong Address { get; }

    /// <summary>The error that ended the walk, or none.</summary>
    public ZpciErrorEvent Fault => (ZpciErrorEvent)(_ended >> FaultShift);

    /// <summary>Level of the entry where the walk ended.</summary>
    public ZpciTableLevel Level => (ZpciTableLevel)(byte)_ended;

    /// <summary>Whether the address leads somewhere. Without it and without a fault, an entry on the way is invalid, which is no error.</summary>
    public bool IsValid => (_ended & ValidBit) != 0;

    /// <summary>Whether writes are allowed too. Reads always are where the address is valid.</summary>
    public bool CanWrite => (_ended & WriteBit) != 0;

    /// <summary>Bytes from the address to the next boundary of <see cref="Level"/>: all of them have the same answer.</summary>
    public ulong Length => Size - (_iova & (Size - 1));

    private ulong Size => 1ul << (int)Level;

    /// <summary>A walk that found a valid entry.</summary>
    /// <param name="iova">The address that was walked for.</param>
    /// <param name="address">Where it leads.</param>
    /// <param name="level">Level of the entry.</param>
    /// <param name="canWrite">Whether writes are allowed.</param>
    /// <returns>The walk.</returns>
    public static IoWalk Valid(ulong iova, ulong address, ZpciTableLevel level, bool canWrite) =>
        new(iova, address, (uint)level | ValidBit | (canWrite ? WriteBit : 0));

    /// <summary>A walk that ended at an invalid entry.</summary>
    /// <param name="iova">The address that was walked for.</param>
    /// <param name="level">Level of the entry.</param>
    /// <returns>The walk.</returns>
    public static IoWalk Invalid(ulong iova, ZpciTableLevel level) => new(iova, 0, (uint)level);

    /// <summary>A walk that ended with an error.</summary>
    /// <param name="iova">The address that was walked for.</param>
    /// <param name="level">Level of the entry.</param>
    /// <param name="fault">The error.</param>
    /// <returns>The walk.</returns>
    public static IoWalk Failed(ulong iova, ZpciTableLevel level, ZpciErrorEvent fault) =>
        new(iova, 0, (uint)level | ((uint)fault << FaultShift));

    /// <summary>As <see cref="Valid"/>, with all entries on the way together: one that is protected takes writes away.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static IoWalk Ended(ulong iova, ulong address, ZpciTableLevel level, ulong seen) =>
        new(iova, address, (uint)level | ValidBit | (~(uint)seen & WriteBit));
}
