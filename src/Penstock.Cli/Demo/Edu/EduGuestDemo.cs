using System.Globalization;
using Penstock.Devices;
using Penstock.Lab;
using Penstock.Pci;

namespace Penstock.Cli.Demo;

/// <summary>
/// The EDU device in a guest behind VT-d: handed on by the guest's own VFIO to a small program in the guest, which maps memory page by page,
/// lets the device copy it and takes interrupts.
/// </summary>
internal sealed class EduGuestDemo(DemoReport report, bool console) : GuestDemo(report, console)
{
    private const int Pages = 4096;

    private readonly EduFunction _edu = new();

    protected override string Name => "edu";

    protected override string Title => "QEMU's teaching device EDU behind an IOMMU";

    protected override IPciFunction Device => _edu;

    protected override string BoundDriver => "the guest's vfio-pci";

    protected override GuestConfiguration Configure(GuestArchitecture architecture, bool lspci) => new()
    {
        Machine = QemuDevice.SplitIrqchipMachine,
        Devices = [QemuDevice.IntelIommu],
        KernelArguments = "intel_iommu=on iommu.strict=1",
        Modules = ["vfio", "vfio_iommu_type1", "vfio-pci"],
        Files = [GuestPrograms.VfioEdu(architecture)],
        Script = Script(lspci),
    };

    protected override async Task DriveAsync(Guest guest, CancellationToken cancellation)
    {
        string pin = await StepAsync(guest, "pin", cancellation);
        string messages = await StepAsync(guest, "messages", cancellation);
        Report.Done("interrupts", $"{pin} by the pin and {messages} by MSI, each taken by the guest's program with its cause");

        string mapped = await StepAsync(guest, "mapped", cancellation);
        DemoReport.Verify(LiveMaps >= Pages, $"the guest's program has {mapped}, the server only {LiveMaps}");
        DemoReport.Verify(_edu.FailedTransfers == 0, $"a transfer failed: {_edu.LastFailure}");
        Report.Done("maps", $"the guest's program maps {mapped}; {LiveMaps} maps are live in the server");
        Report.Done("dma", $"{_edu.Transfers} transfers, {_edu.TransferredBytes >> 10} KiB, compared by the guest's program");
        await guest.SendLineAsync("go", cancellation);

        await StepAsync(guest, "refused", cancellation);
        await StepAsync(guest, "unmapped", cancellation);
        DemoReport.Verify(_edu.FailedTransfers == 2, $"{_edu.FailedTransfers} transfers failed, not the two that must");
        Report.Quote(_edu.LastFailure!);
        Report.Done("refused", "a write to a page that is mapped read-only, and one to a page that is not mapped any more");
        Report.Done("unmaps", $"after the unmaps {LiveMaps} maps are live");
        await guest.SendLineAsync("go", cancellation);
        await StepAsync(guest, "mapped", cancellation);
        await guest.SendLineAsync("go", cancellation);
    }

    /// <summary>What the server has mapped for the device.</summary>
    private int LiveMaps => Server.Host.Groups.Sum(group => group.Domain?.Count ?? 0);

    private static async Task<string> StepAsync(Guest guest, string step, CancellationToken cancellation)
    {
        string said = await WaitForTextAsync(guest, $"vfio-edu: {step} ", cancellation);
        return said[(said.IndexOf(step, StringComparison.Ordinal) + step.Length)..].Trim(' ', '?', '\r');
    }

    private static string Script(bool lspci) => string.Create(CultureInfo.InvariantCulture, $$"""
        {{GuestScript.Find("1234", "11e8")}}
        echo vfio-pci > $device/driver_override
        echo $slot > /sys/bus/pci/drivers_probe
        [ "$(basename $(readlink $device/driver))" = vfio-pci ] || fail "vfio-pci does not take the device"
        group=$(basename $(readlink $device/iommu_group))
        echo "demo: quote sysfs: $slot driver vfio-pci, IOMMU group $group"
        echo "demo: bound"
        {{(lspci ? GuestScript.Lspci("vfio-pci") : "")}}
        vfio-edu /dev/vfio/$group $slot {{Pages}} 2> /tmp/wrong || fail "$(cat /tmp/wrong)"
        """);
}
