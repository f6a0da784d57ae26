using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Nvme;
using Penstock.Specs.Vfio;
using Penstock.Vfio;
using Penstock.VfioUser;

namespace Penstock.Cli.Demo;

/// <summary>
/// A small driver for an NVMe disk, as one writes it from the specification: a pair of queues for administration, which is polled, and one for
/// I/O, which interrupts. All that the disk reaches lies in one piece of memory.
/// </summary>
internal sealed class NvmeHost : IDisposable
{
    /// <summary>The longest transfer.</summary>
    public const int LargestTransfer = 128 << 10;

    /// <summary>The disk's only namespace.</summary>
    public const uint Namespace = 1;

    private const uint Bar = VfioRegions.Bar0;
    private const ulong Iova = 0x10_0000;
    private const ulong MemorySize = 1 << 20;
    private const ulong PrpList = 0x8000;
    private const ulong Page = 0x9000;
    private const ulong Data = 0x1_0000;
    private const uint IoVector = 1;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private readonly VfioUserClient _user;
    private readonly MemoryFile _memory = MemoryFile.Create("penstock-demo", MemorySize);
    private readonly EventDescriptor _admin = EventDescriptor.Create();
    private readonly EventDescriptor _interrupt = EventDescriptor.Create();
    private readonly NvmeHostQueue _adminQueue;
    private NvmeHostQueue _ioQueue;

    /// <summary>Gives the disk the memory and takes its interrupts.</summary>
    public NvmeHost(VfioUserClient user)
    {
        _user = user;
        _adminQueue = new NvmeHostQueue(user, _memory, id: 0, Iova, 0);
        _ioQueue = NewIoQueue();
        user.MapDma(Iova, MemorySize, DmaAccess.ReadWrite, _memory);
        user.SetIrqs(VfioIrqs.Msix, VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger, 0, IoVector + 1, _admin, _interrupt);
    }

    /// <summary>Interrupts of the I/O queue.</summary>
    public ulong Interrupts { get; private set; }

    public NvmeCapabilities Capabilities => new(Read64(NvmeRegisters.Capabilities));

    public NvmeControllerStatus Status => new(Read32(NvmeRegisters.Status));

    public uint Version => Read32(NvmeRegisters.Version);

    /// <summary>Where nothing is mapped.</summary>
    public static ulong Nowhere => Iova + (4 * MemorySize);

    /// <summary>Starts the controller and makes the I/O queues.</summary>
    public void Start()
    {
        _adminQueue.Clear();
        _ioQueue = NewIoQueue();
        _ioQueue.Clear();
        Write32(NvmeRegisters.AdminQueueAttributes, new NvmeAdminQueueAttributes
        {
            SubmissionEntries = NvmeHostQueue.Entries,
            CompletionEntries = NvmeHostQueue.Entries,
        }.Value);
        Write64(NvmeRegisters.AdminSubmissionQueue, _adminQueue.SubmissionAddress);
        Write64(NvmeRegisters.AdminCompletionQueue, _adminQueue.CompletionAddress);
        Write32(NvmeRegisters.Configuration, new NvmeConfiguration
        {
            Enabled = true,
            SubmissionEntryShift = NvmeCommand.LengthShift,
            CompletionEntryShift = NvmeCompletion.LengthShift,
        }.Value);
        WaitUntil(status => status.Ready, "the controller does not become ready");
        uint size = (NvmeHostQueue.Entries - 1) << NvmeQueueBits.SizeShift;
        Administer(new NvmeCommand
        {
            Opcode = (byte)NvmeAdminOpcode.CreateCompletionQueue,
            Prp1 = _ioQueue.CompletionAddress,
            Cdw10 = size | 1,
            Cdw11 = NvmeQueueBits.Contiguous | NvmeQueueBits.InterruptsEnabled | (IoVector << NvmeQueueBits.VectorShift),
        });
        Administer(new NvmeCommand
        {
            Opcode = (byte)NvmeAdminOpcode.CreateSubmissionQueue,
            Prp1 = _ioQueue.SubmissionAddress,
            Cdw10 = size | 1,
            Cdw11 = NvmeQueueBits.Contiguous | (1 << NvmeQueueBits.CompletionQueueShift),
        });
    }

    /// <summary>Resets the controller, also in the middle of work.</summary>
    public void Stop()
    {
        Write32(NvmeRegisters.Configuration, 0);
        WaitUntil(status => !status.Ready, "the controller does not stop");
    }

    /// <summary>Says that no more commands come, and waits until all is on the disk.</summary>
    public void ShutDown()
    {
        Write32(NvmeRegisters.Configuration, (new NvmeConfiguration(Read32(NvmeRegisters.Configuration)) with { Shutdown = NvmeShutdown.Normal }).Value);
        WaitUntil(status => status.ShutdownStatus == NvmeShutdownStatus.Complete, "the controller does not shut down");
    }

    /// <summary>Asks the disk what it is.</summary>
    public byte[] Identify(NvmeIdentifyCns what)
    {
        Administer(new NvmeCommand
        {
            Opcode = (byte)NvmeAdminOpcode.Identify,
            NamespaceId = what == NvmeIdentifyCns.Namespace ? Namespace : 0,
            Prp1 = Iova + Page,
            Cdw10 = (uint)what,
        });
        byte[] page = new byte[NvmeLimits.IdentifySize];
        Copy(Page, page);
        return page;
    }

    public void Write(ulong block, ReadOnlySpan<byte> data, int blockSize, bool durable = false)
    {
        Verify(DescriptorIO.WriteAt(_memory.Descriptor.Value, Data, data, out _));
        Expect(NvmeStatus.Success, Transfer(NvmeIoOpcode.Write, block, data.Length, blockSize, durable ? NvmeRwBits.ForceUnitAccess : 0));
    }

    public void Read(ulong block, Span<byte> data, int blockSize)
    {
        Expect(NvmeStatus.Success, Transfer(NvmeIoOpcode.Read, block, data.Length, blockSize));
        Copy(Data, data);
    }

    /// <summary>Carries out a command without data, and waits for its interrupt.</summary>
    public NvmeStatus Execute(NvmeIoOpcode opcode, ulong block = 0, uint cdw12 = 0, ulong prp1 = 0) =>
        Run(new NvmeCommand { Opcode = (byte)opcode, NamespaceId = Namespace, StartingLba = block, Cdw12 = cdw12, Prp1 = prp1 });

    /// <summary>Hands over as many reads of a page as there are with one doorbell, and waits for the last.</summary>
    public void ReadAtOnce(int count, int blockSize)
    {
        Submit(count, blockSize);
        for (int done = 0; done < count;)
        {
            WaitForInterrupt();
            while (_ioQueue.TryTake(out NvmeCompletion completion))
            {
                Expect(NvmeStatus.Success, completion.Status);
                done++;
            }
        }
    }

    /// <summary>Hands reads over and does not wait.</summary>
    public void Submit(int count, int blockSize)
    {
        for (int i = 0; i < count; i++)
        {
            _ioQueue.Put(new NvmeCommand
            {
                Opcode = (byte)NvmeIoOpcode.Read,
                NamespaceId = Namespace,
                StartingLba = (ulong)i * (ulong)(NvmeLimits.PageSize / blockSize),
                Cdw12 = (uint)(NvmeLimits.PageSize / blockSize) - 1,
                Prp1 = Iova + Data,
            });
        }

        _ioQueue.Ring();
    }

    public void Dispose()
    {
        _admin.Dispose();
        _interrupt.Dispose();
        _memory.Dispose();
    }

    private NvmeStatus Transfer(NvmeIoOpcode opcode, ulong block, int length, int blockSize, uint bits = 0) => Run(new NvmeCommand
    {
        Opcode = (byte)opcode,
        NamespaceId = Namespace,
        StartingLba = block,
        Cdw12 = ((uint)(length / blockSize) - 1) | bits,
        Prp1 = Iova + Data,
        Prp2 = SecondPointer(length),
    });

    /// <summary>Nothing for a page, the second page for two, a list of all but the first for more.</summary>
    private ulong SecondPointer(int length)
    {
        int pages = (length + NvmeLimits.PageSize - 1) / NvmeLimits.PageSize;
        if (pages <= 2)
        {
            return pages == 2 ? Iova + Data + NvmeLimits.PageSize : 0;
        }

        ulong[] list = new ulong[pages - 1];
        for (int i = 0; i < list.Length; i++)
        {
            list[i] = Iova + Data + ((ulong)(i + 1) * NvmeLimits.PageSize);
        }

        Verify(DescriptorIO.WriteAt(_memory.Descriptor.Value, PrpList, MemoryMarshal.AsBytes(list.AsSpan()), out _));
        return Iova + PrpList;
    }

    private NvmeStatus Run(NvmeCommand command)
    {
        _ioQueue.Put(command);
        _ioQueue.Ring();
        NvmeCompletion completion;
        do
        {
            WaitForInterrupt();
        }
        while (!_ioQueue.TryTake(out completion));

        return completion.Status;
    }

    private void Administer(NvmeCommand command)
    {
        _adminQueue.Put(command);
        _adminQueue.Ring();
        NvmeCompletion completion = default;
        DemoReport.Verify(SpinWait.SpinUntil(() => _adminQueue.TryTake(out completion), Patience), $"admin command 0x{command.Opcode:x2} does not end");
        Expect(NvmeStatus.Success, completion.Status);
    }

    private void WaitForInterrupt()
    {
        Poll.Wait(_interrupt.Descriptor.Value, PollEvents.In, Patience);
        DemoReport.Verify(_interrupt.TryDrain(out ulong count), "a command brought no interrupt");
        Interrupts += count;
    }

    private void WaitUntil(Predicate<NvmeControllerStatus> reached, string otherwise)
    {
        NvmeControllerStatus status = default;
        SpinWait.SpinUntil(() => reached(status = Status), Patience);
        DemoReport.Verify(reached(status), $"{otherwise}: CSTS 0x{status.Value:x}");
    }

    private NvmeHostQueue NewIoQueue() => new(_user, _memory, id: 1, Iova, 2 * NvmeHostQueue.MemorySize);

    private uint Read32(ulong register)
    {
        Span<byte> word = stackalloc byte[sizeof(uint)];
        _user.Read(Bar, register, word);
        return BinaryPrimitives.ReadUInt32LittleEndian(word);
    }

    private ulong Read64(ulong register)
    {
        Span<byte> word = stackalloc byte[sizeof(ulong)];
        _user.Read(Bar, register, word);
        return BinaryPrimitives.ReadUInt64LittleEndian(word);
    }

    private void Write32(ulong register, uint value)
    {
        Span<byte> word = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32LittleEndian(word, value);
        _user.Write(Bar, register, word);
    }

    private void Write64(ulong register, ulong value)
    {
        Span<byte> word = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(word, value);
        _user.Write(Bar, register, word);
    }

    private void Copy(ulong offset, Span<byte> to) => Verify(DescriptorIO.ReadAt(_memory.Descriptor.Value, offset, to, out _));

    private static void Verify(Errno errno) => DemoReport.Verify(errno == Errno.None, $"the demonstration's own memory cannot be used: {errno}");

    private static void Expect(NvmeStatus expected, NvmeStatus status) =>
        DemoReport.Verify(status == expected, $"a command ended with status 0x{(int)status:x}, not 0x{(int)expected:x}");
}
