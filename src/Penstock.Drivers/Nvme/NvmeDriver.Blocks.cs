using System.Runtime.InteropServices;
using Penstock.Specs.Nvme;

namespace Penstock.Drivers;

/// <content>Blocks on spans: synchronous, polled, without allocation.</content>
public sealed unsafe partial class NvmeDriver
{
    private const int MostBlocks = (int)NvmeRwBits.BlocksMask + 1;

    /// <summary>Reads blocks. Allocates nothing.</summary>
    /// <param name="lba">First block.</param>
    /// <param name="destination">Receives them; its length says how many, and is a multiple of the block size.</param>
    /// <exception cref="NvmeException">The controller refused it, or could not read.</exception>
    /// <exception cref="Penstock.Vfio.VfioException">ETIMEDOUT, ECANCELED or EIO: the controller failed or was reset.</exception>
    public void Read(ulong lba, Span<byte> destination)
    {
        CheckLength(destination.Length);
        WaitUntilRunning();
        while (!destination.IsEmpty)
        {
            Span<byte> piece = destination[..Math.Min(destination.Length, TransferSize)];
            int blocks = piece.Length / Namespace.BlockSize;
            NvmeCommand command = Command(NvmeIoOpcode.Read, lba, blocks);
            ThrowIfFailed(NvmeIoOpcode.Read, lba, blocks, Synchronous.Run(ref command, default, piece, out _));
            destination = destination[piece.Length..];
            lba += (ulong)blocks;
        }
    }

    /// <summary>Writes blocks. Allocates nothing.</summary>
    /// <param name="lba">First block.</param>
    /// <param name="source">The bytes, a multiple of the block size.</param>
    /// <param name="forceUnitAccess">Whether they are durable when the call returns; otherwise after a <see cref="Flush"/>.</param>
    /// <exception cref="NvmeException">The controller refused it, or could not write.</exception>
    /// <exception cref="Penstock.Vfio.VfioException">As <see cref="Read"/>.</exception>
    public void Write(ulong lba, ReadOnlySpan<byte> source, bool forceUnitAccess = false)
    {
        CheckLength(source.Length);
        WaitUntilRunning();
        while (!source.IsEmpty)
        {
            ReadOnlySpan<byte> piece = source[..Math.Min(source.Length, TransferSize)];
            int blocks = piece.Length / Namespace.BlockSize;
            NvmeCommand command = Command(NvmeIoOpcode.Write, lba, blocks, forceUnitAccess ? NvmeRwBits.ForceUnitAccess : 0);
            ThrowIfFailed(NvmeIoOpcode.Write, lba, blocks, Synchronous.Run(ref command, piece, default, out _));
            source = source[piece.Length..];
            lba += (ulong)blocks;
        }
    }

    /// <summary>Compares blocks with bytes. Allocates nothing.</summary>
    /// <param name="lba">First block.</param>
    /// <param name="expected">The bytes, a multiple of the block size.</param>
    /// <returns>Whether they are equal.</returns>
    /// <exception cref="NvmeException">The controller refused it, or could not read.</exception>
    /// <exception cref="Penstock.Vfio.VfioException">As <see cref="Read"/>.</exception>
    public bool Compare(ulong lba, ReadOnlySpan<byte> expected)
    {
        CheckLength(expected.Length);
        WaitUntilRunning();
        while (!expected.IsEmpty)
        {
            ReadOnlySpan<byte> piece = expected[..Math.Min(expected.Length, TransferSize)];
            int blocks = piece.Length / Namespace.BlockSize;
            NvmeCommand command = Command(NvmeIoOpcode.Compare, lba, blocks);
            NvmeStatus status = Synchronous.Run(ref command, piece, default, out _);
            if ((status & NvmeStatus.CodeMask) == NvmeStatus.CompareFailure)
            {
                return false;
            }

            ThrowIfFailed(NvmeIoOpcode.Compare, lba, blocks, status);
            expected = expected[piece.Length..];
            lba += (ulong)blocks;
        }

        return true;
    }

    /// <summary>Makes everything durable that writes have been completed for. Allocates nothing.</summary>
    /// <exception cref="NvmeException">The controller could not.</exception>
    /// <exception cref="Penstock.Vfio.VfioException">As <see cref="Read"/>.</exception>
    public void Flush()
    {
        WaitUntilRunning();
        var command = new NvmeCommand { Opcode = (byte)NvmeIoOpcode.Flush, NamespaceId = Namespace.Id };
        ThrowIfFailed(NvmeIoOpcode.Flush, 0, 0, Synchronous.Run(ref command, default, default, out _));
    }

    /// <summary>Makes blocks zero, without sending zeroes. Allocates nothing.</summary>
    /// <param name="lba">First block.</param>
    /// <param name="blocks">How many.</param>
    /// <param name="deallocate">Whether the controller may give their storage back.</param>
    /// <exception cref="NvmeException">The controller refused it, or could not write.</exception>
    /// <exception cref="Penstock.Vfio.VfioException">As <see cref="Read"/>.</exception>
    public void WriteZeroes(ulong lba, ulong blocks, bool deallocate = false)
    {
        WaitUntilRunning();
        while (blocks != 0)
        {
            int piece = (int)Math.Min(blocks, MostBlocks);
            NvmeCommand command = Command(NvmeIoOpcode.WriteZeroes, lba, piece, deallocate ? NvmeRwBits.Deallocate : 0);
            ThrowIfFailed(NvmeIoOpcode.WriteZeroes, lba, piece, Synchronous.Run(ref command, default, default, out _));
            lba += (ulong)piece;
            blocks -= (ulong)piece;
        }
    }

    /// <summary>
    /// Tells the controller that the content of blocks is not needed any more. What they read afterwards,
    /// <see cref="NvmeNamespaceInfo.ReadsZeroAfterDeallocate"/> says.
    /// </summary>
    /// <param name="lba">First block.</param>
    /// <param name="blocks">How many, at most 2^32 - 1.</param>
    /// <exception cref="NvmeException">The controller refused it.</exception>
    /// <exception cref="Penstock.Vfio.VfioException">As <see cref="Read"/>.</exception>
    public void Deallocate(ulong lba, uint blocks)
    {
        WaitUntilRunning();
        Span<byte> range = stackalloc byte[NvmeDatasetRange.Length];
        NvmeCommand command = DeallocateCommand(lba, blocks, range);
        ThrowIfFailed(NvmeIoOpcode.DatasetManagement, lba, (int)Math.Min(blocks, int.MaxValue), Synchronous.Run(ref command, range, default, out _));
    }

    private NvmeCommand DeallocateCommand(ulong lba, uint blocks, Span<byte> range)
    {
        var entry = new NvmeDatasetRange { Blocks = blocks, StartingLba = lba };
        MemoryMarshal.Write(range, entry);
        return new NvmeCommand { Opcode = (byte)NvmeIoOpcode.DatasetManagement, NamespaceId = Namespace.Id, Cdw11 = NvmeDatasetManagement.Deallocate };
    }

    private NvmeCommand Command(NvmeIoOpcode opcode, ulong lba, int blocks, uint flags = 0) => new()
    {
        Opcode = (byte)opcode,
        NamespaceId = Namespace.Id,
        StartingLba = lba,
        Cdw12 = (uint)(blocks - 1) | flags,
    };

    private void CheckLength(int length)
    {
        if (length % Namespace.BlockSize != 0)
        {
            throw new ArgumentException($"{length} bytes are no whole blocks of {Namespace.BlockSize} bytes.");
        }
    }

    private void ThrowIfFailed(NvmeIoOpcode opcode, ulong lba, int blocks, NvmeStatus status)
    {
        if ((status & NvmeStatus.CodeMask) != NvmeStatus.Success)
        {
            throw new NvmeException(Describe(opcode, lba, blocks), status);
        }
    }

    private string Describe(NvmeIoOpcode opcode, ulong lba, int blocks) =>
        opcode == NvmeIoOpcode.Flush ? $"{opcode} of {Name}" : $"{opcode} of {blocks} blocks at {lba} of {Name}";
}
