using System.Buffers.Binary;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Penstock.Devices;
using Penstock.Hypervisor;
using Penstock.S390;
using Penstock.Specs.Nvme;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Cli.Bench;

/// <summary>Exits of a guest's loads on the simulated machine: none for an interpreted function, one for each access of another.</summary>
internal sealed class ZpciLoadBench(ZpciBenchOptions options, Output output)
{
    private const int Share = 20;
    private const int Length = 4;
    private const int Warm = 3;
    private const int FirstRegister = 2;
    private const int HandleShift = 32;
    private const ulong MemoryBytes = 1 << 20;
    private const ulong BlockAddress = 0x4000;
    private const string Name = "0001:00:00.0";

    private readonly TextTable _table = new([new("FUNCTION"), new("ACCESSES", true), new("EXITS", true), new("EXITS/ACCESS", true), new("NS BEST", true)]);

    public void Run(CancellationToken cancellation)
    {
        Measure(interpret: true, cancellation);
        Measure(interpret: false, cancellation);
        output.Line($"\nLoads of 4 bytes by a guest of the simulated machine:\n\n{_table}");
    }

    private void Measure(bool interpret, CancellationToken cancellation)
    {
        using var host = new VfioHost();
        using var firmware = new ZpciFirmware(ledger: host.Ledger);
        using var hypervisor = new S390Hypervisor(firmware);
        using SimulatedVm machine = new SimulatedKvm(host, hypervisor).CreateVm();
        using HookRegistration<IZpciVmHook> hook = host.Slot<IZpciVmHook>().Install(new ZpciAssociation());
        ProcessMemory memory = ProcessMemory.Allocate(MemoryBytes);
        machine.Memory.Add(new GuestMemorySlot(0, 0, MemoryBytes, memory));
        IommuGroup group = host.AddIommuUnit("bench").CreateGroup();
        ZpciFunction zpci = ZpciFunctions.Create(1, 1, firmware: firmware);
        using var hardware = new NvmeFunction(new MemoryNvmeBacking(MemoryBytes));
        var device = new ZpciVfioPciDevice(Name, hardware, group, zpci);
        host.Register(device, group);
        using VfioContainer container = host.OpenContainer(Caller.Current);
        using (VfioGroup users = host.OpenGroup(group.Number, Caller.Current))
        {
            users.SetContainer(container);
            container.SetIommu(VfioIommuType.Type1V2);
            users.SetHypervisor(machine);
            VfioDeviceFile file = users.OpenDevice(Name);
            file.Write(VfioRegions.Config, PciConfigOffsets.Command, [(byte)(PciCommand.BusMaster | PciCommand.Memory), 0], out _);
            using var bus = new ZpciBus(machine);
            bus.Plug(file, new ZpciFunctionOptions { Container = container, Interpret = interpret });
            Measure(machine, bus, interpret, cancellation);
        }

        host.Unregister(device);
        device.Dispose();
        memory.Release();
    }

    private void Measure(SimulatedVm machine, ZpciBus bus, bool interpret, CancellationToken cancellation)
    {
        ulong request = ((ulong)Enable(machine, bus) << HandleShift) | Length;
        var processor = new ZpciProcessor(bus);
        int accesses = Math.Max(1, options.Operations / Share);
        double best = double.MaxValue;
        for (int round = -Warm; round < options.Rounds; round++)
        {
            cancellation.ThrowIfCancellationRequested();
            long start = Stopwatch.GetTimestamp();
            for (int i = 0; i < accesses; i++)
            {
                Require(processor.Load(FirstRegister, request, NvmeRegisters.Version));
            }

            double mean = Stopwatch.GetElapsedTime(start).TotalNanoseconds / accesses;
            best = round < 0 ? best : Math.Min(best, mean);
        }

        Report(interpret ? "interpreted" : "intercepted", (long)accesses * (options.Rounds + Warm), processor.Exits, best);
    }

    /// <summary>Enables the bus's only function, as a guest does.</summary>
    /// <returns>Its handle.</returns>
    private static uint Enable(SimulatedVm machine, ZpciBus bus)
    {
        Span<byte> block = stackalloc byte[ZpciClpSetRequest.Length + ZpciClpSetResponse.Length];
        block.Clear();
        new ZpciClpSetRequest
        {
            Header = new ZpciClpHeader { BlockLength = ZpciClpSetRequest.Length, Code = (ushort)ZpciClpCommand.SetFunction },
            Handle = bus.Functions[0].Handle,
            Operation = ZpciSetOperation.Enable,
            DmaSpaces = 1,
        }.Write(block);
        BinaryPrimitives.WriteUInt16BigEndian(block[ZpciClpSetRequest.Length..], ZpciClpSetResponse.Length);
        machine.Memory.Write(BlockAddress, block);
        Require(bus.CallLogicalProcessor(BlockAddress));
        machine.Memory.Read(BlockAddress, block);
        return ZpciClpSetResponse.Read(block[ZpciClpSetRequest.Length..]).Handle;
    }

    private static void Require(ZpciResult result)
    {
        if (result.ConditionCode != ZpciConditionCode.Done || result.Exception != ZpciProgramException.None)
        {
            throw new IOException($"a guest's instruction ended with {result}");
        }
    }

    private void Report(string function, long accesses, long exits, double best)
    {
        double each = exits / (double)accesses;
        _table.Add(
            function, accesses.ToString(CultureInfo.InvariantCulture), exits.ToString(CultureInfo.InvariantCulture),
            each.ToString("F2", CultureInfo.InvariantCulture), best.ToString("F1", CultureInfo.InvariantCulture));
        output.Object(new JsonObject
        {
            ["measure"] = "load",
            ["function"] = function,
            ["accesses"] = accesses,
            ["exits"] = exits,
            ["exits_per_access"] = each,
            ["best_ns"] = Math.Round(best, 1),
        });
    }
}
