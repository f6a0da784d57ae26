using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Nvme;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Devices.Tests;

/// <summary>
/// An NVMe disk on a test bench, and a bare host driver: one memory that several disks can have, registers, queue pairs that are filled and
/// read by hand.
/// </summary>
internal sealed unsafe class NvmeRig : IDisposable
{
    internal const ulong Base = 0x10_0000;
    internal const ulong MemorySize = 16 << 20;
    internal const int Page = 4096;
    internal static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private readonly FunctionTestBench _bench;
    private readonly List<UserMemory> _memories = [];
    private readonly MemoryMapping _mapping;
    private readonly bool _ownsMemory;
    private ulong _nextPage;

    internal NvmeRig(NvmeOptions? options = null, INvmeBacking? backing = null, bool map = true, NvmeRig? memoryOf = null)
    {
        _ownsMemory = memoryOf is null;
        Memory = memoryOf?.Memory ?? MemoryFile.Create("guest", MemorySize);
        _nextPage = memoryOf?._nextPage ?? Base;
        Backing = backing ?? new MemoryNvmeBacking(8 << 20);
        Disk = new NvmeFunction(Backing, options);
        _bench = new FunctionTestBench(Disk, new FunctionTestBenchOptions { Command = PciCommand.Memory | PciCommand.BusMaster, Patience = Patience });
        _mapping = MemoryMapping.Map(Memory.Descriptor.Value, 0, (nuint)MemorySize, MemoryProtection.ReadWrite);
        if (map)
        {
            Map(Base, 0, MemorySize);
        }
    }

    internal VfioHost Host => _bench.Host;

    internal INvmeBacking Backing { get; }

    internal NvmeFunction Disk { get; }

    internal VfioContainer Container => _bench.Container;

    internal VfioDeviceFile File => _bench.File;

    internal MemoryFile Memory { get; }

    internal NvmeHostQueue Admin { get; set; } = null!;

    public void Dispose()
    {
        // A test that failed may have left it closed.
        (Backing as NvmeGatedBacking)?.Open();
        _bench.Close();
        _memories.ForEach(m => m.Release());
        _bench.Dispose();
        Disk.Dispose();
        _mapping.Dispose();
        if (_ownsMemory)
        {
            Memory.Dispose();
        }
    }

    /// <summary>Moves the whole state to another disk over the same memory, which then runs; this one stays stopped.</summary>
    internal void MoveTo(NvmeRig target)
    {
        target.LoadState(SaveState());
        target.Admin = Admin;
        target._nextPage = _nextPage;
        Admin?.Use(target);
    }

    /// <summary>The user goes, and another one comes to the same disk, with the same memory.</summary>
    internal void Reopen()
    {
        _bench.Close();
        _bench.Open();
        Map(Base, 0, MemorySize);
    }

    /// <summary>Takes a state over and runs.</summary>
    internal void LoadState(byte[] state) => _bench.LoadState(state);

    /// <summary>Stops the disk and takes its state.</summary>
    internal byte[] SaveState() => _bench.SaveState();

    /// <summary>A function level reset, as drivers ask for it.</summary>
    internal void ResetFunction() => _bench.FunctionLevelReset();

    internal void SetCommand(PciCommand command) => _bench.SetCommand(command);

    /// <summary>Maps part of the host's memory.</summary>
    internal void Map(ulong iova, ulong offset, ulong size, DmaAccess access = DmaAccess.ReadWrite) =>
        Map(iova, size, access, MappedMemory.Create(Host.Mappings, Memory.Descriptor, offset, size));

    internal void Map(ulong iova, ulong size, DmaAccess access, UserMemory memory)
    {
        _memories.Add(memory);
        Container.MapDma(iova, size, access, memory, 0);
    }

    /// <summary>Host memory at an I/O address, while it is mapped one to one from <see cref="Base"/> on.</summary>
    internal Span<byte> At(ulong iova, int length)
    {
        Assert.InRange(iova - Base, 0ul, MemorySize - (ulong)length);
        return new Span<byte>(_mapping.Pointer + (iova - Base), length);
    }

    internal ref T Ref<T>(ulong iova)
        where T : unmanaged => ref MemoryMarshal.AsRef<T>(At(iova, sizeof(T)));

    /// <summary>Where the next fresh page is; set to where it was, the pages since are fresh again.</summary>
    internal ulong NextPage
    {
        get => _nextPage;
        set => _nextPage = value;
    }

    /// <summary>Fresh pages of host memory, zeroed, one after another.</summary>
    internal ulong Pages(int count = 1)
    {
        ulong first = _nextPage;
        _nextPage += (ulong)count * Page;
        At(first, count * Page).Clear();
        return first;
    }

    /// <summary>Pages from an address on are fresh again: nobody uses them any more.</summary>
    internal void Forget(ulong from) => _nextPage = from;

    internal uint Read32(ulong offset) => _bench.Bar(0).Read32(offset);

    internal ulong Read64(ulong offset) => _bench.Bar(0).Read64(offset);

    internal void Write32(ulong offset, uint value) => _bench.Bar(0).Write32(offset, value);

    internal void Write64(ulong offset, ulong value) => _bench.Bar(0).Write64(offset, value);

    internal NvmeControllerStatus Status => new(Read32(NvmeRegisters.Status));

    internal static NvmeConfiguration Enabled => new() { Enabled = true, SubmissionEntryShift = 6, CompletionEntryShift = 4 };

    /// <summary>Sets the admin queues up and enables the controller.</summary>
    internal NvmeRig Enable(int entries = 32, int completionEntries = 0)
    {
        completionEntries = completionEntries == 0 ? entries : completionEntries;
        Admin = new NvmeHostQueue(this, 0, entries, 0, completionEntries);
        Write32(NvmeRegisters.AdminQueueAttributes, (uint)((entries - 1) | ((completionEntries - 1) << 16)));
        Write64(NvmeRegisters.AdminSubmissionQueue, Admin.Submissions);
        Write64(NvmeRegisters.AdminCompletionQueue, Admin.CompletionRing.Address);
        Write32(NvmeRegisters.Configuration, Enabled.Value);
        WaitUntil(() => Status.Ready, "the controller does not become ready");
        return this;
    }

    internal void Disable()
    {
        Write32(NvmeRegisters.Configuration, 0);
        WaitUntil(() => !Status.Ready, "the controller does not stop");
    }

    internal static void WaitUntil(Func<bool> condition, string complaint) =>
        Assert.True(SpinWait.SpinUntil(condition, Patience), complaint);

    /// <summary>Creates an I/O queue pair; interrupts when a vector is given.</summary>
    internal NvmeHostQueue CreatePair(int id = 1, int entries = 64, int? vector = null)
    {
        var queue = new NvmeHostQueue(this, id, entries, id, entries);
        CreateCompletionQueue(queue.CompletionRing, vector);
        CreateSubmissionQueue(queue);
        return queue;
    }

    internal void CreateCompletionQueue(NvmeHostRing ring, int? vector = null) => AdminOk(new NvmeCommand
    {
        Opcode = (byte)NvmeAdminOpcode.CreateCompletionQueue,
        Prp1 = ring.Address,
        Cdw10 = (uint)(ring.Id | ((ring.Entries - 1) << 16)),
        Cdw11 = 1u | (vector is { } v ? 2u | ((uint)v << 16) : 0),
    });

    internal void CreateSubmissionQueue(NvmeHostQueue queue) => AdminOk(new NvmeCommand
    {
        Opcode = (byte)NvmeAdminOpcode.CreateSubmissionQueue,
        Prp1 = queue.Submissions,
        Cdw10 = (uint)(queue.Id | ((queue.Entries - 1) << 16)),
        Cdw11 = 1u | ((uint)queue.CompletionRing.Id << 16),
    });

    internal NvmeCompletion AdminRun(NvmeCommand command) => Admin.Run(command);

    internal uint AdminOk(NvmeCommand command)
    {
        NvmeCompletion completion = Admin.Run(command);
        Assert.Equal(NvmeStatus.Success, completion.Status);
        return completion.Result;
    }

    /// <summary>Runs an admin command and gives its status without DNR.</summary>
    internal NvmeStatus AdminStatus(NvmeCommand command) => Admin.Run(command).Status & NvmeStatus.CodeMask;

    internal void Arm(int index, int start, params EventDescriptor[] triggers) => File.SetIrqs(new VfioIrqRequest
    {
        Index = (uint)index,
        Start = (uint)start,
        Count = (uint)triggers.Length,
        Flags = VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger,
        Events = triggers,
    });

    internal void Act(int index, VfioIrqSetFlags action, uint count = 1) =>
        File.SetIrqs(new VfioIrqRequest { Index = (uint)index, Count = count, Flags = VfioIrqSetFlags.DataNone | action });

    internal static NvmeCommand Io(NvmeIoOpcode opcode, ulong lba, int blocks, ulong prp1, ulong prp2 = 0, uint nsid = 1) => new()
    {
        Opcode = (byte)opcode,
        NamespaceId = nsid,
        StartingLba = lba,
        Cdw12 = (uint)(blocks - 1),
        Prp1 = prp1,
        Prp2 = prp2,
    };
}
