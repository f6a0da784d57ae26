using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor;

/// <content>Loads and stores that the VMM serves. They take no lock, allocate nothing, and come on any number of threads.</content>
public sealed partial class ZpciGuestFunction
{
    private const int Doubleword = 8;
    private const int Word = 4;

    private long _exits;

    /// <summary>How many loads, stores and block stores the VMM has served; those of an interpreted function do not come here.</summary>
    public long Exits => Interlocked.Read(ref _exits);

    internal ZpciResult Load(ZpciRegister register, ulong offset)
    {
        if (!Begin(register, offset, register.AccessLength, out ZpciResult refused))
        {
            return refused;
        }

        Span<byte> bytes = stackalloc byte[Doubleword];
        bytes.Clear();
        Span<byte> data = bytes[..register.AccessLength];
        if (_device.Read(register.Space, offset, data) != Errno.None)
        {
            return ZpciResult.Interrupted(register.Value, ZpciProgramException.Operand);
        }

        _measurement.CountLoad();

        // The device's bytes in the order of their addresses, at the right end of a big-endian register.
        ulong value = BinaryPrimitives.ReadUInt64BigEndian(bytes) >> ((Doubleword - data.Length) * 8);
        return ZpciResult.Done(register.Value) with { Value = value };
    }

    internal ZpciResult Store(ZpciRegister register, ulong offset, ulong value)
    {
        if (!Begin(register, offset, register.AccessLength, out ZpciResult refused))
        {
            return refused;
        }

        Span<byte> bytes = stackalloc byte[Doubleword];
        BinaryPrimitives.WriteUInt64BigEndian(bytes, value);
        if (_device.Write(register.Space, offset, bytes[(Doubleword - register.AccessLength)..]) != Errno.None)
        {
            return ZpciResult.Interrupted(register.Value, ZpciProgramException.Operand);
        }

        _measurement.CountStore();
        return ZpciResult.Done(register.Value);
    }

    /// <summary>Whether the registers of a block store are possible: offset, length, and address of the block.</summary>
    internal bool BeginBlock(ZpciRegister register, ulong offset, ulong operand, out ZpciResult refused)
    {
        Interlocked.Increment(ref _exits);
        refused = default;
        if (IsStopped)
        {
            refused = ZpciResult.Failed(register.Value, ZpciStatus.Blocked);
        }
        else if (register.Space > ZpciRegister.LastBar)
        {
            refused = ZpciResult.Failed(register.Value, ZpciStatus.InvalidAddressSpace);
        }
        else if (!IsBlockPossible(register, offset, operand))
        {
            refused = ZpciResult.Interrupted(register.Value, ZpciProgramException.Specification);
        }
        else if (!_device.Has(register.Space, offset, register.AccessLength & ZpciRegister.BlockLengthMask))
        {
            refused = ZpciResult.Interrupted(register.Value, ZpciProgramException.Operand);
        }
        else
        {
            return true;
        }

        return false;
    }

    /// <summary>Whether a block has a length, a place and an address that are possible.</summary>
    internal bool IsBlockPossible(ZpciRegister register, ulong offset, ulong operand)
    {
        int length = register.AccessLength & ZpciRegister.BlockLengthMask;
        return offset % Doubleword == 0
            && length > Doubleword
            && length % Doubleword == 0
            && length <= Group.MaximumStore
            && (offset & PageMask) + (ulong)length <= ZpciIoTable.PageSize
            && operand % Doubleword == 0;
    }

    /// <summary>Stores a block as doublewords in order.</summary>
    internal ZpciResult StoreBlock(ZpciRegister register, ulong offset, ReadOnlySpan<byte> block)
    {
        for (int at = 0; at < block.Length; at += Doubleword)
        {
            if (_device.Write(register.Space, offset + (ulong)at, block.Slice(at, Doubleword)) != Errno.None)
            {
                return ZpciResult.Interrupted(register.Value, ZpciProgramException.Operand);
            }
        }

        _measurement.CountBlockStore();
        return ZpciResult.Done(register.Value);
    }

    private bool IsStopped => State is ZpciFunctionState.Error or ZpciFunctionState.PermanentError;

    /// <summary>What is the same for loads and stores: state, address space, length.</summary>
    private bool Begin(ZpciRegister register, ulong offset, int length, out ZpciResult refused)
    {
        Interlocked.Increment(ref _exits);
        refused = default;
        if (IsStopped)
        {
            refused = ZpciResult.Failed(register.Value, ZpciStatus.Blocked);
            return false;
        }

        bool isConfiguration = register.Space == ZpciRegister.ConfigurationSpace;
        if (register.Space > ZpciRegister.LastBar && !isConfiguration)
        {
            refused = ZpciResult.Failed(register.Value, ZpciStatus.InvalidAddressSpace);
            return false;
        }

        // Within a doubleword of a BAR; within a word of configuration space, and there not three bytes.
        int unit = isConfiguration ? Word : Doubleword;
        if (length == 0 || length > unit - (int)(offset & (uint)(unit - 1)) || (isConfiguration && length == 3))
        {
            refused = ZpciResult.Interrupted(register.Value, ZpciProgramException.Operand);
            return false;
        }

        return true;
    }
}
