using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Nvme;
using Penstock.Specs.Vfio;
using Penstock.VfioUser;

namespace Penstock.Cli.Demo;

/// <summary>A submission queue and its completion queue, a page of memory each, as their user sees them.</summary>
internal sealed class NvmeHostQueue(VfioUserClient user, MemoryFile memory, int id, ulong iova, ulong offset)
{
    public const int Entries = NvmeLimits.PageSize / NvmeCommand.Length;

    /// <summary>What both queues take of the memory.</summary>
    public const ulong MemorySize = 2 * NvmeLimits.PageSize;

    private const ulong CompletionOffset = NvmeLimits.PageSize;

    private int _tail;
    private int _head;
    private bool _phase = true;
    private ushort _commandId;

    public ulong SubmissionAddress => iova + offset;

    public ulong CompletionAddress => iova + offset + CompletionOffset;

    /// <summary>Forgets all, as a controller that starts does.</summary>
    public void Clear()
    {
        (_tail, _head, _phase) = (0, 0, true);
        Verify(DescriptorIO.WriteAt(memory.Descriptor.Value, offset, new byte[MemorySize], out _));
    }

    /// <summary>Writes a command into the queue; the disk does not know yet.</summary>
    public void Put(NvmeCommand command)
    {
        command.CommandId = _commandId++;
        Verify(DescriptorIO.WriteAt(
            memory.Descriptor.Value, offset + (ulong)(_tail * NvmeCommand.Length), MemoryMarshal.AsBytes(new ReadOnlySpan<NvmeCommand>(in command)), out _));
        _tail = (_tail + 1) % Entries;
    }

    /// <summary>Tells the disk how far the queue is filled.</summary>
    public void Ring() => WriteDoorbell(2 * id, _tail);

    /// <summary>Takes a completion when there is one.</summary>
    public bool TryTake(out NvmeCompletion completion)
    {
        Span<NvmeCompletion> entry = stackalloc NvmeCompletion[1];
        Verify(DescriptorIO.ReadAt(
            memory.Descriptor.Value, offset + CompletionOffset + (ulong)(_head * NvmeCompletion.Length), MemoryMarshal.AsBytes(entry), out _));
        completion = entry[0];
        if ((completion.StatusAndPhase & NvmeCompletion.Phase) != 0 != _phase)
        {
            return false;
        }

        _head = (_head + 1) % Entries;
        _phase ^= _head == 0;
        WriteDoorbell((2 * id) + 1, _head);
        return true;
    }

    private void WriteDoorbell(int number, int value)
    {
        Span<byte> word = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteInt32LittleEndian(word, value);
        user.Write(VfioRegions.Bar0, NvmeRegisters.Doorbells + (ulong)(number * NvmeRegisters.DoorbellSize), word);
    }

    private static void Verify(Errno errno) => DemoReport.Verify(errno == Errno.None, $"the demonstration's own memory cannot be used: {errno}");
}
