using Penstock.Specs.Nvme;

namespace Penstock.Drivers;

/// <content>Blocks without a waiting thread.</content>
public sealed partial class NvmeDriver
{
    /// <summary>Reads blocks. Longer ones are several commands at once.</summary>
    /// <param name="lba">First block.</param>
    /// <param name="destination">
    /// Receives them; its length says how many, and is a multiple of the block size. Not touched any more after the end of the task.
    /// </param>
    /// <param name="cancellation">Gives up waiting; the controller may read all the same.</param>
    /// <returns>Done when all blocks are there.</returns>
    /// <exception cref="NvmeException">The controller refused it, or could not read.</exception>
    /// <exception cref="Penstock.Vfio.VfioException">ETIMEDOUT, ECANCELED or EIO: the controller failed or was reset.</exception>
    /// <exception cref="OperationCanceledException">The wait was given up.</exception>
    public async Task ReadAsync(ulong lba, Memory<byte> destination, CancellationToken cancellation = default)
    {
        CheckLength(destination.Length);
        WaitUntilRunning();
        var pieces = new List<Task>();
        for (int at = 0; at < destination.Length; at += TransferSize)
        {
            Memory<byte> piece = destination.Slice(at, Math.Min(destination.Length - at, TransferSize));
            int blocks = piece.Length / Namespace.BlockSize;
            ulong first = lba + (ulong)(at / Namespace.BlockSize);
            pieces.Add(RunAsync(NvmeIoOpcode.Read, Command(NvmeIoOpcode.Read, first, blocks), default, piece, first, blocks, cancellation));
        }

        await Task.WhenAll(pieces).ConfigureAwait(false);
    }

    /// <summary>Writes blocks. Longer ones are several commands at once.</summary>
    /// <param name="lba">First block.</param>
    /// <param name="source">The bytes, a multiple of the block size. Must not change before the end of the task.</param>
    /// <param name="forceUnitAccess">Whether they are durable at the end of the task; otherwise after a flush.</param>
    /// <param name="cancellation">Gives up waiting; the controller may write all the same.</param>
    /// <returns>Done when all blocks are written.</returns>
    /// <exception cref="NvmeException">The controller refused it, or could not write.</exception>
    /// <exception cref="Penstock.Vfio.VfioException">As <see cref="ReadAsync"/>.</exception>
    /// <exception cref="OperationCanceledException">The wait was given up.</exception>
    public async Task WriteAsync(ulong lba, ReadOnlyMemory<byte> source, bool forceUnitAccess = false, CancellationToken cancellation = default)
    {
        CheckLength(source.Length);
        WaitUntilRunning();
        uint flags = forceUnitAccess ? NvmeRwBits.ForceUnitAccess : 0;
        var pieces = new List<Task>();
        for (int at = 0; at < source.Length; at += TransferSize)
        {
            ReadOnlyMemory<byte> piece = source.Slice(at, Math.Min(source.Length - at, TransferSize));
            int blocks = piece.Length / Namespace.BlockSize;
            ulong first = lba + (ulong)(at / Namespace.BlockSize);
            pieces.Add(RunAsync(NvmeIoOpcode.Write, Command(NvmeIoOpcode.Write, first, blocks, flags), piece, default, first, blocks, cancellation));
        }

        await Task.WhenAll(pieces).ConfigureAwait(false);
    }

    /// <summary>Makes everything durable that writes have been completed for before the call.</summary>
    /// <param name="cancellation">Gives up waiting.</param>
    /// <returns>Done when it is.</returns>
    /// <exception cref="NvmeException">The controller could not.</exception>
    /// <exception cref="Penstock.Vfio.VfioException">As <see cref="ReadAsync"/>.</exception>
    /// <exception cref="OperationCanceledException">The wait was given up.</exception>
    public Task FlushAsync(CancellationToken cancellation = default)
    {
        WaitUntilRunning();
        return RunAsync(
            NvmeIoOpcode.Flush, new NvmeCommand { Opcode = (byte)NvmeIoOpcode.Flush, NamespaceId = Namespace.Id }, default, default, 0, 0, cancellation);
    }

    /// <summary>Makes blocks zero, without sending zeroes.</summary>
    /// <param name="lba">First block.</param>
    /// <param name="blocks">How many.</param>
    /// <param name="deallocate">Whether the controller may give their storage back.</param>
    /// <param name="cancellation">Gives up waiting.</param>
    /// <returns>Done when they are.</returns>
    /// <exception cref="NvmeException">The controller refused it, or could not write.</exception>
    /// <exception cref="Penstock.Vfio.VfioException">As <see cref="ReadAsync"/>.</exception>
    /// <exception cref="OperationCanceledException">The wait was given up.</exception>
    public async Task WriteZeroesAsync(ulong lba, ulong blocks, bool deallocate = false, CancellationToken cancellation = default)
    {
        WaitUntilRunning();
        uint flags = deallocate ? NvmeRwBits.Deallocate : 0;
        while (blocks != 0)
        {
            int piece = (int)Math.Min(blocks, MostBlocks);
            await RunAsync(NvmeIoOpcode.WriteZeroes, Command(NvmeIoOpcode.WriteZeroes, lba, piece, flags), default, default, lba, piece, cancellation).ConfigureAwait(false);
            lba += (ulong)piece;
            blocks -= (ulong)piece;
        }
    }

    /// <summary>Tells the controller that the content of blocks is not needed any more.</summary>
    /// <param name="lba">First block.</param>
    /// <param name="blocks">How many.</param>
    /// <param name="cancellation">Gives up waiting.</param>
    /// <returns>Done when it knows.</returns>
    /// <exception cref="NvmeException">The controller refused it.</exception>
    /// <exception cref="Penstock.Vfio.VfioException">As <see cref="ReadAsync"/>.</exception>
    /// <exception cref="OperationCanceledException">The wait was given up.</exception>
    public Task DeallocateAsync(ulong lba, uint blocks, CancellationToken cancellation = default)
    {
        WaitUntilRunning();
        byte[] range = new byte[NvmeDatasetRange.Length];
        NvmeCommand command = DeallocateCommand(lba, blocks, range);
        return RunAsync(NvmeIoOpcode.DatasetManagement, command, range, default, lba, (int)Math.Min(blocks, int.MaxValue), cancellation);
    }

    /// <summary>Compares blocks with bytes.</summary>
    /// <param name="lba">First block.</param>
    /// <param name="expected">The bytes, a multiple of the block size, at most <see cref="TransferSize"/>.</param>
    /// <param name="cancellation">Gives up waiting.</param>
    /// <returns>Whether they are equal.</returns>
    /// <exception cref="NvmeException">The controller refused it, or could not read.</exception>
    /// <exception cref="Penstock.Vfio.VfioException">As <see cref="ReadAsync"/>.</exception>
    /// <exception cref="OperationCanceledException">The wait was given up.</exception>
    public async Task<bool> CompareAsync(ulong lba, ReadOnlyMemory<byte> expected, CancellationToken cancellation = default)
    {
        CheckLength(expected.Length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(expected.Length, TransferSize);
        WaitUntilRunning();
        if (expected.IsEmpty)
        {
            return true;
        }

        int blocks = expected.Length / Namespace.BlockSize;
        try
        {
            await RunAsync(NvmeIoOpcode.Compare, Command(NvmeIoOpcode.Compare, lba, blocks), expected, default, lba, blocks, cancellation).ConfigureAwait(false);
            return true;
        }
        catch (NvmeException e) when (e.Status == NvmeStatus.CompareFailure)
        {
            return false;
        }
    }

    private async Task RunAsync(
        NvmeIoOpcode opcode,
        NvmeCommand command,
        ReadOnlyMemory<byte> outgoing,
        Memory<byte> incoming,
        ulong lba,
        int blocks,
        CancellationToken cancellation)
    {
        NvmeStatus status = await Asynchronous.RunAsync(command, outgoing, incoming, Describe(opcode, lba, blocks), cancellation).ConfigureAwait(false);
        ThrowIfFailed(opcode, lba, blocks, status);
    }
}
