using Penstock.Specs.Zpci;

namespace Penstock.S390;

/// <summary>Where a walk through I/O tables ended.</summary>
public readonly struct IoWalk
{
    private readonly ulong _iova;
    private readonly ZpciErrorEvent _fault;
    private readonly ZpciTableLevel _level;
    private readonly bool _isValid;
    private readonly bool _canWrite;

    internal IoWalk(ulong iova, ulong address, ZpciTableLevel level, bool canWrite)
    {
        _iova = iova;
        Address = address;
        _level = level;
        _isValid = true;
        _canWrite = canWrite;
    }

    private IoWalk(ulong iova, ZpciTableLevel level, ZpciErrorEvent fault)
    {
        _iova = iova;
        _level = level;
        _fault = fault;
    }

    /// <summary>The address that was walked for.</summary>
    public ulong Iova => _iova;

    /// <summary>Where it leads, offset in the frame included; 0 when it leads nowhere.</summary>
    public ulong Address { get; }

    /// <summary>The error that ended the walk, or none.</summary>
    public ZpciErrorEvent Fault => _fault;

    /// <summary>Level of the entry where the walk ended.</summary>
    public ZpciTableLevel Level => _level;

    /// <summary>Whether the address leads somewhere. Without it and without a fault, an entry on the way is invalid, which is no error.</summary>
    public bool IsValid => _isValid;

    /// <summary>Whether writes are allowed too. Reads always are where the address is valid.</summary>
    public bool CanWrite => _canWrite;

    /// <summary>Bytes from the address to the next boundary of <see cref="Level"/>: all of them have the same answer.</summary>
    public ulong Length => Size - (_iova & (Size - 1));

    private ulong Size => 1ul << (int)_level;

    /// <summary>A walk that found a valid entry.</summary>
    /// <param name="iova">The address that was walked for.</param>
    /// <param name="address">Where it leads.</param>
    /// <param name="level">Level of the entry.</param>
    /// <param name="canWrite">Whether writes are allowed.</param>
    /// <returns>The walk.</returns>
    public static IoWalk Valid(ulong iova, ulong address, ZpciTableLevel level, bool canWrite) => new(iova, address, level, canWrite);

    /// <summary>A walk that ended at an invalid entry.</summary>
    /// <param name="iova">The address that was walked for.</param>
    /// <param name="level">Level of the entry.</param>
    /// <returns>The walk.</returns>
    public static IoWalk Invalid(ulong iova, ZpciTableLevel level) => new(iova, level, ZpciErrorEvent.None);

    /// <summary>A walk that ended with an error.</summary>
    /// <param name="iova">The address that was walked for.</param>
    /// <param name="level">Level of the entry.</param>
    /// <param name="fault">The error.</param>
    /// <returns>The walk.</returns>
    public static IoWalk Failed(ulong iova, ZpciTableLevel level, ZpciErrorEvent fault) => new(iova, level, fault);
}
