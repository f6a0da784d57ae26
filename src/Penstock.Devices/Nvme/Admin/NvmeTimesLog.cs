using System.Buffers.Binary;
using Penstock.Specs.Nvme;

namespace Penstock.Devices;

/// <summary>
/// A log page of our own: where the time of the controller goes, by samples, since it was made. Ten little-endian numbers of 8 bytes in the order of
/// the members. A controller has it that was made with <see cref="NvmeOptions.Times"/>. Times are nanoseconds of the thread that serves the queues, all for
/// the sampled commands together.
/// </summary>
public readonly record struct NvmeTimesLog
{
    /// <summary>Length in bytes.</summary>
    public const int Length = 10 * sizeof(ulong);

    /// <summary>Number of the page, among those that are left to vendors (NVM Express Base 1.4, section 5.14).</summary>
    public static NvmeLogId Id => (NvmeLogId)0xC0;

    /// <summary>Commands that were sampled.</summary>
    public ulong Commands { get; init; }

    /// <summary>Looking at the doorbells.</summary>
    public ulong Doorbells { get; init; }

    /// <summary>Copying commands off their queue and checking them.</summary>
    public ulong Fetch { get; init; }

    /// <summary>Finding the host's memory and the blocks, and copying between them; or giving the command to a worker.</summary>
    public ulong Data { get; init; }

    /// <summary>Writing completions.</summary>
    public ulong Complete { get; init; }

    /// <summary>Sending interrupts.</summary>
    public ulong Interrupt { get; init; }

    /// <summary>What lies between: turns, register calls, events.</summary>
    public ulong Other { get; init; }

    /// <summary>Looking in vain.</summary>
    public ulong Idle { get; init; }

    /// <summary>Commands that workers have carried out, each of which is timed.</summary>
    public ulong WorkerCommands { get; init; }

    /// <summary>What the workers took for them.</summary>
    public ulong Workers { get; init; }

    /// <summary>Reads a page.</summary>
    /// <param name="page">Its bytes, at least <see cref="Length"/>.</param>
    /// <returns>What it says.</returns>
    public static NvmeTimesLog Read(ReadOnlySpan<byte> page)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(page.Length, Length);
        return new NvmeTimesLog
        {
            Commands = At(page, 0),
            Doorbells = At(page, 1),
            Fetch = At(page, 2),
            Data = At(page, 3),
            Complete = At(page, 4),
            Interrupt = At(page, 5),
            Other = At(page, 6),
            Idle = At(page, 7),
            WorkerCommands = At(page, 8),
            Workers = At(page, 9),
        };
    }

    /// <summary>What has been added since another reading.</summary>
    /// <param name="before">The earlier one.</param>
    /// <returns>The difference.</returns>
    public NvmeTimesLog Since(in NvmeTimesLog before) => new()
    {
        Commands = Commands - before.Commands,
        Doorbells = Doorbells - before.Doorbells,
        Fetch = Fetch - before.Fetch,
        Data = Data - before.Data,
        Complete = Complete - before.Complete,
        Interrupt = Interrupt - before.Interrupt,
        Other = Other - before.Other,
        Idle = Idle - before.Idle,
        WorkerCommands = WorkerCommands - before.WorkerCommands,
        Workers = Workers - before.Workers,
    };

    internal void Write(Span<byte> page)
    {
        ReadOnlySpan<ulong> values = [Commands, Doorbells, Fetch, Data, Complete, Interrupt, Other, Idle, WorkerCommands, Workers];
        for (int i = 0; i < values.Length; i++)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(page[(i * sizeof(ulong))..], values[i]);
        }
    }

    private static ulong At(ReadOnlySpan<byte> page, int index) => BinaryPrimitives.ReadUInt64LittleEndian(page[(index * sizeof(ulong))..]);
}
