using System.Numerics;
using System.Security.Cryptography;
using System.Text;
using Penstock.Interop;
using Penstock.Specs.Nvme;

namespace Penstock.Devices;

/// <summary>
/// A namespace: blocks on a backing, their checks and what is done to them. A command goes through <see cref="Plan"/>, then
/// through <see cref="Execute"/>, or what that is made of: <see cref="TryBegin"/>, its data through <see cref="Read"/>, <see cref="Write"/>
/// or <see cref="Compare"/>, in any number of pieces, or <see cref="Zero"/>, then <see cref="End"/> and <see cref="Finish"/>. Throws
/// nothing, allocates nothing; may be used from any thread.
/// </summary>
internal sealed partial class NvmeNamespace
{
    /// <summary>The one that there is.</summary>
    public const uint FirstId = 1;

    private int _flushFailure;
    private int _movedFlushFailure;

    /// <summary>Creates a namespace.</summary>
    /// <param name="backing">Where its blocks are; not owned.</param>
    /// <param name="blockSize">512 or 4096, of which the backing's length is a multiple.</param>
    /// <param name="serial">Serial number of the controller, from which its identifiers are made.</param>
    /// <param name="accesses">How many threads may be at its blocks at once; more wait.</param>
    public NvmeNamespace(INvmeBacking backing, int blockSize, string serial, int accesses = 8)
    {
        if (!IsBlockSize(blockSize))
        {
            throw new ArgumentOutOfRangeException(nameof(blockSize), blockSize, "a block has 512 or 4096 bytes");
        }

        if (backing.Length == 0 || backing.Length % (ulong)blockSize != 0)
        {
            throw new ArgumentException($"{backing.Length} bytes are not a whole number of blocks of {blockSize} bytes", nameof(backing));
        }

        Backing = backing;
        Ranges = new NvmeBlockRanges(accesses);
        BlockShift = BitOperations.Log2((uint)blockSize);
        Blocks = backing.Length >> BlockShift;

        // A UUID made of a name: version 8 (own method), variant 1. The EUI-64 has the bit of those that are given out locally.
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(Encoding.UTF8.GetBytes($"penstock nvme {serial} {FirstId}"), hash);
        hash[6] = (byte)((hash[6] & 0x0f) | 0x80);
        hash[8] = (byte)((hash[8] & 0x3f) | 0x80);
        Uuid = new Guid(hash[..16], bigEndian: true);
        Eui64 = BitConverter.ToUInt64(hash[16..24]) | 0x02;
    }

    /// <summary>Its NSID.</summary>
    public uint Id { get; } = FirstId;

    /// <summary>Where its blocks are.</summary>
    public INvmeBacking Backing { get; }

    /// <summary>At which blocks commands are.</summary>
    public NvmeBlockRanges Ranges { get; }

    /// <summary>Log2 of the size of a block.</summary>
    public int BlockShift { get; }

    /// <summary>Size of a block in bytes.</summary>
    public int BlockSize => 1 << BlockShift;

    /// <summary>Number of blocks.</summary>
    public ulong Blocks { get; }

    /// <summary>Whether writes are refused.</summary>
    public bool IsReadOnly => Backing.IsReadOnly;

    /// <summary>Whether there is a volatile write cache, so that Flush does something.</summary>
    public bool HasWriteCache => Backing.MayBlock;

    /// <summary>
    /// The error of the first flush that failed, which every later one has too; None while none has. It is about the medium, which a disk
    /// that is moved has in common with the one before: one that failed here stays, one that came with a state stays until its user has gone.
    /// </summary>
    public Errno FlushFailure => Volatile.Read(ref _flushFailure) is var own and not 0 ? (Errno)own : (Errno)Volatile.Read(ref _movedFlushFailure);

    /// <summary>UUID, of which the NGUID has the bytes.</summary>
    public Guid Uuid { get; }

    /// <summary>EUI-64, its first byte lowest.</summary>
    public ulong Eui64 { get; }

    /// <summary>Whether a block may have this size.</summary>
    public static bool IsBlockSize(ulong bytes) => bytes is 512 or 4096;

    /// <summary>Whether a block may have this size.</summary>
    public static bool IsBlockSize(int bytes) => bytes is 512 or 4096;

    /// <summary>
    /// Whether a planned command may take longer than the copying of its data, so that it has to be carried out on a thread of its own.
    /// </summary>
    public bool MayBlock(in NvmeTransfer transfer) =>
        Backing.MayBlock || transfer.Durable || transfer.Operation is NvmeOperation.Flush or NvmeOperation.WriteZeroes or NvmeOperation.DatasetManagement;

    /// <summary>A state that is loaded says that a flush has failed, where the disk was.</summary>
    /// <param name="error">The error; None: none has, as far as is known there.</param>
    public void MovedFlushFailure(Errno error) => Interlocked.CompareExchange(ref _movedFlushFailure, (int)error, 0);

    /// <summary>The user whose state was loaded has gone: nobody but he said so, and the next one's flushes are not his to spoil.</summary>
    public void ForgetMoved() => Volatile.Write(ref _movedFlushFailure, 0);

    /// <summary>All checks of a command of the NVM command set but those of its PRPs (NVM Express base specification 1.4, section 6).</summary>
    /// <param name="command">A private copy of the command.</param>
    /// <param name="maxTransfer">Most bytes of data.</param>
    /// <param name="writeThrough">Whether each write must be durable, because the host has turned the write cache off.</param>
    /// <param name="transfer">What is to be done.</param>
    /// <returns>Success, or what is wrong with it.</returns>
    public NvmeStatus Plan(in NvmeCommand command, int maxTransfer, bool writeThrough, out NvmeTransfer transfer)
    {
        transfer = default;
        var opcode = (NvmeIoOpcode)command.Opcode;
        if (opcode is not (NvmeIoOpcode.Flush or NvmeIoOpcode.Write or NvmeIoOpcode.Read or NvmeIoOpcode.Compare
            or NvmeIoOpcode.WriteZeroes or NvmeIoOpcode.DatasetManagement))
        {
            return NvmeStatus.InvalidOpcode;
        }

        // Neither fused commands nor SGLs are offered.
        if ((command.Flags & (NvmeCommandFlags.FuseMask | NvmeCommandFlags.PointerMask)) != 0)
        {
            return NvmeStatus.InvalidField;
        }

        if (command.NamespaceId != Id && !(command.NamespaceId == NvmeLimits.AllNamespaces && opcode == NvmeIoOpcode.Flush))
        {
            return NvmeStatus.InvalidNamespace;
        }

        return opcode switch
        {
            NvmeIoOpcode.Flush => PlanFlush(out transfer),
            NvmeIoOpcode.DatasetManagement => PlanDataset(command, writeThrough, out transfer),
            _ => PlanBlocks(command, opcode, maxTransfer, writeThrough, out transfer),
        };
    }

    /// <summary>Whether blocks are inside the namespace; no sum that could wrap.</summary>
    public bool Contains(ulong first, ulong count) => first < Blocks && count <= Blocks - first;

    private static NvmeStatus PlanFlush(out NvmeTransfer transfer)
    {
        transfer = new NvmeTransfer { Operation = NvmeOperation.Flush };
        return NvmeStatus.Success;
    }

    private NvmeStatus PlanDataset(in NvmeCommand command, bool writeThrough, out NvmeTransfer transfer)
    {
        bool deallocate = (command.Cdw11 & NvmeDatasetManagement.Deallocate) != 0;
        transfer = new NvmeTransfer
        {
            Operation = NvmeOperation.DatasetManagement,
            Deallocate = deallocate,
            Durable = deallocate && writeThrough && HasWriteCache && Backing.CanDeallocate,
            DataLength = (int)((command.Cdw10 & NvmeDatasetManagement.RangesMask) + 1) * NvmeDatasetRange.Length,
        };
        return deallocate && IsReadOnly ? NvmeStatus.NamespaceWriteProtected : NvmeStatus.Success;
    }

    private NvmeStatus PlanBlocks(in NvmeCommand command, NvmeIoOpcode opcode, int maxTransfer, bool writeThrough, out NvmeTransfer transfer)
    {
        transfer = default;
        ulong count = (command.Cdw12 & NvmeRwBits.BlocksMask) + 1ul;
        if (!Contains(command.StartingLba, count))
        {
            return NvmeStatus.LbaOutOfRange;
        }

        bool hasData = opcode != NvmeIoOpcode.WriteZeroes;
        bool writes = opcode is NvmeIoOpcode.Write or NvmeIoOpcode.WriteZeroes;
        ulong length = count << BlockShift;
        if (hasData && length > (ulong)maxTransfer)
        {
            return NvmeStatus.InvalidField;
        }

        if (writes && IsReadOnly)
        {
            return NvmeStatus.NamespaceWriteProtected;
        }

        // Force unit access on a read asks for data that is on the medium, so what was found in the cache has to get there. Without a
        // cache nothing has to be forced.
        bool forced = (command.Cdw12 & NvmeRwBits.ForceUnitAccess) != 0 || (writes && writeThrough);
        transfer = new NvmeTransfer
        {
            Operation = opcode switch
            {
                NvmeIoOpcode.Read => NvmeOperation.Read,
                NvmeIoOpcode.Write => NvmeOperation.Write,
                NvmeIoOpcode.Compare => NvmeOperation.Compare,
                _ => NvmeOperation.WriteZeroes,
            },
            Offset = command.StartingLba << BlockShift,
            Length = length,
            DataLength = hasData ? (int)length : 0,
            Deallocate = !hasData && (command.Cdw12 & NvmeRwBits.Deallocate) != 0,
            Durable = forced && HasWriteCache && (writes || !IsReadOnly),
        };
        return NvmeStatus.Success;
    }
}
