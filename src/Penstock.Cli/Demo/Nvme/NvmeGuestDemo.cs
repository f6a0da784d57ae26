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

    private const int WarmReads = 200;
    private const int TimedReads = 2000;
    private const int WarmPages = 64;
    private const int TimedPages = 8192;

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
        Files = Tap is null ? [GuestPrograms.NvmeDisk()] : [GuestPrograms.NvmeDisk(), GuestPrograms.DirectReads(), GuestPrograms.VfioNvme()],
        Modules = Tap is null ? [] : ["vfio_iommu_type1", "vfio-pci"],
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
        DemoReport.Verify(counts[1] > 0 && counts[1] <= counts[0], $"{counts[0]} I/Os, but {counts[1]} interrupts");
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
            foreach (int depth in (int[])[1, 8, 32, 128])
            {
                string medians = await Tap.TimeAsync(() => ReadAsync(guest, WarmReads, depth, cancellation), async () => [await ReadAsync(guest, depth == 1 ? TimedReads : 3 * TimedReads, depth, cancellation)]);
                Report.Done("direct", $"{medians} reads of 4 KiB a second, {(depth == 1 ? "one after the other" : $"{depth} at once")}");
            }

            Tap.VerifyInterrupts(Report);
            await guest.SendLineAsync("0", cancellation);
        }

        string errors = await StepAsync(guest, "errors", cancellation);
        DemoReport.Verify(errors == "0", $"the guest's kernel logged {errors} errors of disks");
        if (Tap is not null)
        {
            string medians = await Tap.TimeAsync(() => MapAsync(guest, WarmPages, cancellation), () => MapAsync(guest, TimedPages, cancellation));
            Report.Done("vfio", $"{medians} ms for a program on the guest's own VFIO to unmap and to map {TimedPages} pages, in two calls each");
            await guest.SendLineAsync("0", cancellation);
        }
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

    /// <summary>Small reads; gives how many a second.</summary>
    private static async Task<double> ReadAsync(Guest guest, int count, int depth, CancellationToken cancellation)
    {
        await guest.SendLineAsync(string.Create(CultureInfo.InvariantCulture, $"{count} {depth}"), cancellation);
        return double.Parse(await StepAsync(guest, "direct", cancellation), CultureInfo.InvariantCulture);
    }

    /// <summary>A program's pages; gives how many milliseconds it took to unmap and to map them.</summary>
    private static async Task<IReadOnlyList<double>> MapAsync(Guest guest, int pages, CancellationToken cancellation)
    {
        await guest.SendLineAsync(pages.ToString(CultureInfo.InvariantCulture), cancellation);
        string said = await StepAsync(guest, "maps", cancellation);
        return [.. said.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(us => double.Parse(us, CultureInfo.InvariantCulture) / 1000)];
    }

    private static async Task<string> StepAsync(Guest guest, string step, CancellationToken cancellation)
    {
        string said = await WaitAsync(guest, step, cancellation);
        return said[(said.IndexOf(step, StringComparison.Ordinal) + step.Length)..].Trim();
    }
}
