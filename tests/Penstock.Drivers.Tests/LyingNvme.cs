using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Pci;
using Penstock.Specs.Nvme;

namespace Penstock.Drivers.Tests;

/// <summary>
/// A controller with just what a driver needs to be set up, whose completions of I/O commands a test may falsify. Nothing is stored.
/// </summary>
internal sealed class LyingNvme : IPciFunction
{
    private const int Queues = 8;
    private const int BarSize = 0x4000;
    private const int MsixTable = 0x2000;
    private const int MsixPending = 0x3000;

    private readonly byte[] _registers = new byte[NvmeRegisters.Doorbells];
    private readonly Queue[] _submission = new Queue[Queues];
    private readonly Queue[] _completion = new Queue[Queues];
    private PciFunctionPort _port = null!;

    public PciFunctionDescription Description { get; } = new()
    {
        VendorId = 0x1234,
        DeviceId = 2,
        ClassCode = NvmePci.ClassCode,
        Bars = [new PciBar(NvmePci.RegistersBar, PciBarKind.Memory64, BarSize)],
        Capabilities = static () => [new MsixCapability(4, NvmePci.RegistersBar, MsixTable, NvmePci.RegistersBar, MsixPending)],
    };

    /// <summary>Changes the completion of an I/O command before it is written; null drops it.</summary>
    public Func<NvmeCompletion, NvmeCompletion?>? Lie { get; set; }

    /// <summary>Changes what Identify answers.</summary>
    public Action<NvmeIdentifyCns, byte[]>? LieAboutItself { get; set; }

    /// <summary>An admin command that is refused; null for none.</summary>
    public Predicate<NvmeAdminOpcode>? Refuses { get; set; }

    /// <summary>Completion queues that there are, the admin queue's included.</summary>
    public int CompletionQueues => _completion.Count(static q => q.Entries != 0);

    /// <summary>Once it is on it stays ready, whatever is written.</summary>
    public bool StaysReady { get; set; }

    /// <summary>CAP.</summary>
    public NvmeCapabilities Capabilities { get; init; } =
        new() { MaxQueueEntries = 256, Timeout = 2, NvmCommandSet = true, ContiguousQueuesRequired = true };

    public void Attach(PciFunctionPort port) => _port = port;

    public Errno ReadBar(int bar, ulong offset, Span<byte> data)
    {
        data.Clear();
        if (offset < NvmeRegisters.Doorbells)
        {
            _registers.AsSpan((int)offset, data.Length).CopyTo(data);
        }

        return Errno.None;
    }

    public Errno WriteBar(int bar, ulong offset, ReadOnlySpan<byte> data)
    {
        if (offset >= NvmeRegisters.Doorbells)
        {
            int index = (int)(offset - NvmeRegisters.Doorbells) / NvmeRegisters.DoorbellSize;
            uint value = BinaryPrimitives.ReadUInt32LittleEndian(data);
            if (index % 2 == 0 && index / 2 < Queues)
            {
                _port.Dma.Post(() => Work(index / 2, (int)value));
            }

            return Errno.None;
        }

        if (offset is not (NvmeRegisters.Capabilities or NvmeRegisters.Status))
        {
            data.CopyTo(_registers.AsSpan((int)offset));
        }

        if (offset == NvmeRegisters.Configuration)
        {
            var configuration = new NvmeConfiguration(BinaryPrimitives.ReadUInt32LittleEndian(data));
            var status = new NvmeControllerStatus
            {
                Ready = configuration.Enabled || StaysReady,
                ShutdownStatus = configuration.Shutdown == NvmeShutdown.None ? NvmeShutdownStatus.Normal : NvmeShutdownStatus.Complete,
            };
            BinaryPrimitives.WriteUInt32LittleEndian(_registers.AsSpan((int)NvmeRegisters.Status), status.Value);
            Array.Clear(_submission);
            Array.Clear(_completion);
            var sizes = new NvmeAdminQueueAttributes(BinaryPrimitives.ReadUInt32LittleEndian(_registers.AsSpan((int)NvmeRegisters.AdminQueueAttributes)));
            _submission[0] = new Queue(Register64(NvmeRegisters.AdminSubmissionQueue), sizes.SubmissionEntries);
            _completion[0] = new Queue(Register64(NvmeRegisters.AdminCompletionQueue), sizes.CompletionEntries);
        }

        return Errno.None;
    }

    public void Reset(PciResetKind kind)
    {
        Array.Clear(_registers);
        BinaryPrimitives.WriteUInt64LittleEndian(_registers, Capabilities.Value);
    }

    private ulong Register64(ulong offset) => BinaryPrimitives.ReadUInt64LittleEndian(_registers.AsSpan((int)offset));

    private void Work(int id, int tail)
    {
        for (ref Queue queue = ref _submission[id]; queue.Entries != 0 && queue.At != tail % queue.Entries; queue.At = (queue.At + 1) % queue.Entries)
        {
            byte[] entry = new byte[NvmeCommand.Length];
            _port.Dma.Read(queue.Base + ((ulong)queue.At * NvmeCommand.Length), entry);
            NvmeCommand command = MemoryMarshal.Read<NvmeCommand>(entry);
            var completion = new NvmeCompletion
            {
                CommandId = command.CommandId,
                SubmissionQueueId = (ushort)id,
                SubmissionHead = (ushort)((queue.At + 1) % queue.Entries),
            };
            if (id == 0 && Refuses?.Invoke((NvmeAdminOpcode)command.Opcode) == true)
            {
                completion.StatusAndPhase = (ushort)NvmeStatus.InvalidQueueSize << NvmeCompletion.StatusShift;
            }
            else if (id == 0)
            {
                completion.Result = Administer(command);
            }

            NvmeCompletion? said = id == 0 || Lie is null ? completion : Lie(completion);
            if (said is { } told)
            {
                Complete(id, told);
            }
        }
    }

    private uint Administer(NvmeCommand command)
    {
        uint id = command.Cdw10 & NvmeQueueBits.IdMask;
        int entries = (int)(command.Cdw10 >> NvmeQueueBits.SizeShift) + 1;
        switch ((NvmeAdminOpcode)command.Opcode)
        {
            case NvmeAdminOpcode.Identify:
                byte[] data = new byte[NvmeLimits.IdentifySize];
                var what = (NvmeIdentifyCns)command.Cdw10;
                data[0] = what == NvmeIdentifyCns.ActiveNamespaces ? (byte)1 : (byte)0;
                if (what == NvmeIdentifyCns.Namespace)
                {
                    BinaryPrimitives.WriteUInt64LittleEndian(data, 1000);
                    BinaryPrimitives.WriteUInt32LittleEndian(data.AsSpan(NvmeIdentifyNamespace.LbaFormats), 9u << NvmeIdentifyNamespace.LbaFormatBlockShift);
                }

                LieAboutItself?.Invoke(what, data);
                _port.Dma.Write(command.Prp1, data);
                return 0;
            case NvmeAdminOpcode.SetFeatures:
                return (Queues - 2) | ((Queues - 2) << NvmeQueueBits.CompletionQueuesShift);
            case NvmeAdminOpcode.CreateCompletionQueue:
                _completion[id] = new Queue(command.Prp1, entries) { Vector = (int)(command.Cdw11 >> NvmeQueueBits.VectorShift) };
                return 0;
            case NvmeAdminOpcode.CreateSubmissionQueue:
                _submission[id] = new Queue(command.Prp1, entries);
                return 0;
            case NvmeAdminOpcode.DeleteCompletionQueue:
                _completion[id] = default;
                return 0;
            case NvmeAdminOpcode.DeleteSubmissionQueue:
                _submission[id] = default;
                return 0;
            default:
                return 0;
        }
    }

    private void Complete(int id, NvmeCompletion completion)
    {
        ref Queue queue = ref _completion[id];
        if (queue.Entries == 0)
        {
            return;
        }

        completion.StatusAndPhase = (ushort)((completion.StatusAndPhase & ~NvmeCompletion.Phase) | (queue.Wrapped ? 0 : NvmeCompletion.Phase));
        byte[] entry = new byte[NvmeCompletion.Length];
        MemoryMarshal.Write(entry, completion);
        ulong at = queue.Base + ((ulong)queue.At * NvmeCompletion.Length);
        _port.Dma.Write(at, entry.AsSpan(0, NvmeCompletion.StatusOffset));
        _port.Dma.Write(at + NvmeCompletion.StatusOffset, entry.AsSpan(NvmeCompletion.StatusOffset));
        if (++queue.At == queue.Entries)
        {
            queue.At = 0;
            queue.Wrapped = !queue.Wrapped;
        }

        _port.SignalVector(queue.Vector);
    }

    private struct Queue(ulong address, int entries)
    {
        public readonly ulong Base = address;
        public readonly int Entries = entries;
        public int At = 0;
        public bool Wrapped = false;

        public int Vector { get; init; }
    }
}
