using System.Globalization;
using Penstock.Devices;
using Penstock.Lab;
using Penstock.Pci;

namespace Penstock.Cli.Demo;

/// <summary>An NVMe disk in a guest of any architecture: Linux's own driver, a file system, and everything that may happen to a disk.</summary>
internal sealed class NvmeGuestDemo(DemoReport report, bool console) : GuestDemo(report, console)
{
    private const ulong Size = 160 << 20;
    private const ulong SecondSize = 64 << 20;

    private FileNvmeBacking? _image;
    private NvmeFunction? _disk;
    private NvmeFunction? _second;

    protected override string Name => "nvme";

    protected override string Title => "an NVMe disk";

    protected override IPciFunction Device => Disk;

    protected override IPciFunction? SecondDevice =>
        _second ??= new NvmeFunction(new MemoryNvmeBacking(SecondSize), new NvmeOptions { SerialNumber = NvmeGuestScript.SecondSerial });

    protected override string Noun => "disk";

    protected override string BoundDriver => "the guest's driver";

    private NvmeFunction Disk => _disk ??= new NvmeFunction(_image = NvmeDemoImage.Make(Size), new NvmeOptions { SerialNumber = NvmeGuestScript.Serial });

    protected override GuestConfiguration Configure(GuestArchitecture architecture, bool lspci) => new()
    {
        Files = [GuestPrograms.NvmeDisk()],
        Script = NvmeGuestScript.Text(Disk, lspci, architecture == GuestArchitecture.Ppc64le, Tap is not null),
    };

    protected override async Task DriveAsync(Guest guest, CancellationToken cancellation)
    {
        await StepAsync(guest, "formatted", cancellation);
        string files = await StepAsync(guest, "filled", cancellation);
        long flushes = _image!.FlushCount;
        DemoReport.Verify(flushes > 0, "the guest called fsync, but no flush came to the disk");
        Report.Done("files", $"{NvmeGuestScript.Mebibytes} MiB in a new file system; {flushes} flushes came to the disk");

        await StepAsync(guest, "loaded", cancellation);
        long[] counts = [.. (await StepAsync(guest, "counted", cancellation)).Split(' ').Select(count => long.Parse(count, CultureInfo.InvariantCulture))];
        DemoReport.Verify(counts[1] > 0 && counts[1] < counts[0], $"{counts[0]} I/Os, but {counts[1]} interrupts");
        Report.Done("interrupts", $"{counts[1]} for {counts[0]} I/Os, as the guest's kernel counts both");

        await StepAsync(guest, "rebound", cancellation);
        await VerifyAsync(guest, files, cancellation);
        Report.Done("re-probe", "the driver was taken from the device and given back; every file is as it was");
        await StepAsync(guest, "reset", cancellation);
        Report.Done("reset", $"{NvmeGuestScript.Resets} controller resets while two programs wrote; no write failed, what they wrote is there");
        await StepAsync(guest, "reloaded", cancellation);
        await VerifyAsync(guest, files, cancellation);
        Report.Done("module", "the driver's module was unloaded and loaded; every file is as it was");
        if (_second is not null)
        {
            await StepAsync(guest, "formatted", cancellation);
            string others = await StepAsync(guest, "filled", cancellation);
            await StepAsync(guest, "rebound", cancellation);
            await VerifyAsync(guest, others, cancellation);
            Report.Done("second", $"a second disk on the same bridge: {NvmeGuestScript.SecondMebibytes} MiB, read back equal after a re-probe");
        }

        long trimmed = long.Parse(await StepAsync(guest, "trimmed", cancellation), CultureInfo.InvariantCulture);
        DemoReport.Verify(trimmed > 0, "the guest could give no block back");
        Report.Done("trim", $"{trimmed >> 20} MiB that no file uses were given back to the disk");
        if (Tap is not null)
        {
            Tap.Verify(Report);
            Report.Done("direct", await Tap.TimeAsync(count => TimeAsync(guest, count, cancellation)));
            await guest.SendLineAsync("0", cancellation);
        }

        string errors = await StepAsync(guest, "errors", cancellation);
        DemoReport.Verify(errors == "0", $"the guest's kernel logged {errors} errors of disks");
    }

    protected override void DisposeDevices()
    {
        _disk?.Dispose();
        _second?.Dispose();
    }

    private static async Task VerifyAsync(Guest guest, string files, CancellationToken cancellation)
    {
        string found = await StepAsync(guest, "verified", cancellation);
        DemoReport.Verify(found == files, $"the files' checksum was {files} and is {found}");
    }

    /// <summary>Small reads, one after the other; gives how many a second.</summary>
    private static async Task<long> TimeAsync(Guest guest, int count, CancellationToken cancellation)
    {
        await guest.SendLineAsync(count.ToString(CultureInfo.InvariantCulture), cancellation);
        return long.Parse(await StepAsync(guest, "direct", cancellation), CultureInfo.InvariantCulture);
    }

    private static async Task<string> StepAsync(Guest guest, string step, CancellationToken cancellation)
    {
        string said = await WaitAsync(guest, step, cancellation);
        return said[(said.IndexOf(step, StringComparison.Ordinal) + step.Length)..].Trim();
    }
}
