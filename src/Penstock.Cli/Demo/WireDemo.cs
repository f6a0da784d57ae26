using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Pci;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;
using Penstock.VfioUser;

namespace Penstock.Cli.Demo;

/// <summary>A device without a VM: served on a real socket, driven from the other end of the wire, given back.</summary>
internal abstract class WireDemo(DemoReport report)
{
    protected static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    protected DemoReport Report => report;

    public async Task<int> RunAsync(CancellationToken cancellation)
    {
        try
        {
            return await report.RunAsync(() => Task.Run(() => Run(cancellation), cancellation));
        }
        finally
        {
            DisposeDevice();
        }
    }

    /// <summary>The device's name.</summary>
    protected abstract string Name { get; }

    /// <summary>What it is, for the first line.</summary>
    protected abstract string Title { get; }

    /// <summary>The device that is served.</summary>
    protected abstract IPciFunction Device { get; }

    /// <summary>Gives back what the device owns; it is not served any more.</summary>
    protected virtual void DisposeDevice()
    {
    }

    /// <summary>Connects, goes through the device's own steps, leaves.</summary>
    protected abstract void Use(string path, CancellationToken cancellation);

    /// <summary>Reads ids and the interrupt pin, and enables the device.</summary>
    protected void Identify(VfioUserClient user, PciCommand command, string what)
    {
        VfioDeviceInfo info = user.GetInfo();
        Span<byte> header = stackalloc byte[64];
        user.Read(VfioRegions.Config, 0, header);
        ushort vendor = BinaryPrimitives.ReadUInt16LittleEndian(header);
        ushort device = BinaryPrimitives.ReadUInt16LittleEndian(header[2..]);
        VfioIrqInfo pin = user.GetIrqInfo(VfioIrqs.Intx);
        DemoReport.Verify((vendor, device) == (Device.Description.VendorId, Device.Description.DeviceId), $"the ids read {vendor:x4}:{device:x4}");
        DemoReport.Verify(pin.Count == 1, "the device has no interrupt pin");
        report.Done("identify", $"{vendor:x4}:{device:x4}, {info.RegionCount} regions, {what}, {pin.Count} interrupt pin");

        Span<byte> enable = stackalloc byte[2];
        BinaryPrimitives.WriteUInt16LittleEndian(enable, (ushort)command);
        user.Write(VfioRegions.Config, PciConfigOffsets.Command, enable);
    }

    /// <summary>Waits for an interrupt.</summary>
    /// <returns>How many signals there were.</returns>
    protected static ulong WaitFor(EventDescriptor interrupt, string what)
    {
        Poll.Wait(interrupt.Descriptor.Value, PollEvents.In, Patience);
        DemoReport.Verify(interrupt.TryDrain(out ulong count), $"{what} brought no interrupt");
        return count;
    }

    protected static string Micro(double microseconds) => FormattableString.Invariant($"{microseconds:F1} µs");

    private void Run(CancellationToken cancellation)
    {
        report.Title($"Penstock demo: {Title}, every register in C#, without a VM.");
        using var folder = new TemporaryFolder();
        SessionEnd? ending = null;
        using var ended = new ManualResetEventSlim();
        var options = new VfioUserServerOptions
        {
            PeerTimeout = OwnPeers.Time,
            ClientEnded = end =>
            {
                ending = end;
                ended.Set();
            },
        };
        using var server = PciFunctionServer.Serve(Device, folder.File($"{Name}.sock"), options);
        long before = OfClients(server.Host.Ledger);
        report.Done("serve", $"vfio-user on {server.Path}");

        Use(server.Path, cancellation);
        DemoReport.Verify(ended.Wait(Patience, cancellation), "the server did not notice that its client has gone");
        DemoReport.Verify(OfClients(server.Host.Ledger) == before, $"still owned after the client has gone: {server.Host.Ledger}");
        report.Done("leave", $"{ending!.Value.Reason}; descriptors, maps and interrupts are all given back");
    }

    private static long OfClients(ResourceLedger ledger) =>
        ledger.Outstanding(ResourceKind.Descriptor) + ledger.Outstanding(ResourceKind.Mapping) + ledger.Outstanding(ResourceKind.Pin);
}
