using System.Text;
using System.Text.Json;

namespace Penstock.Lab;

/// <summary>Writes values of QEMU's <c>-device</c> option. Any other device is simply its own text, for example <c>"edu"</c>.</summary>
public static class QemuDevice
{
    /// <summary>A VT-d IOMMU in caching mode, so that every mapping is told to devices. Put it before the devices behind it, use
    /// <see cref="SplitIrqchipMachine"/> and the kernel arguments <c>intel_iommu=on iommu.strict=1</c>.</summary>
    public const string IntelIommu = "intel-iommu,intremap=on,caching-mode=on";

    /// <summary>An AMD IOMMU that does translate the devices behind it. Put it before them, use <see cref="SplitIrqchipMachine"/>.</summary>
    public const string AmdIommu = "amd-iommu,dma-remap=on";

    /// <summary>A virtio IOMMU. Put it before the devices behind it.</summary>
    public const string VirtioIommu = "virtio-iommu-pci";

    /// <summary>The machine that <see cref="IntelIommu"/> and <see cref="AmdIommu"/> need.</summary>
    public const string SplitIrqchipMachine = "q35,kernel-irqchip=split";

    /// <summary>A device served on a vfio-user socket.</summary>
    /// <param name="socketPath">The server's socket; it must be listening when the guest starts.</param>
    /// <param name="id">The device's name in QEMU, for other options and QMP to refer to.</param>
    /// <param name="properties">More properties of QEMU's <c>vfio-user-pci</c>: <c>bus</c>, <c>addr</c>, <c>x-msg-timeout</c> …;
    /// values are strings, booleans or whole numbers.</param>
    /// <returns>The option's value, in QEMU's JSON form.</returns>
    /// <exception cref="ArgumentException">A property's value is of another type.</exception>
    public static string VfioUser(string socketPath, string id, IReadOnlyDictionary<string, object>? properties = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(socketPath);
        ArgumentException.ThrowIfNullOrEmpty(id);
        using var bytes = new MemoryStream();
        using (var json = new Utf8JsonWriter(bytes, new JsonWriterOptions { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            json.WriteString("driver", "vfio-user-pci");
            json.WriteString("id", id);
            json.WriteStartObject("socket");
            json.WriteString("type", "unix");
            json.WriteString("path", Path.GetFullPath(socketPath));
            json.WriteEndObject();
            foreach (var (name, value) in properties ?? new Dictionary<string, object>())
            {
                WriteProperty(json, name, value);
            }

            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(bytes.ToArray());
    }

    /// <summary>The zPCI identity of a device on s390x. Put it before the device it belongs to.</summary>
    /// <param name="uid">The user-defined identifier, 1 to 65535: the PCI domain that the guest sees.</param>
    /// <param name="fid">The function identifier: the slot's name in the guest.</param>
    /// <param name="target">The <c>id</c> of the device.</param>
    /// <returns>The option's value.</returns>
    public static string Zpci(int uid, uint fid, string target)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(uid, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(uid, ushort.MaxValue);
        ArgumentException.ThrowIfNullOrEmpty(target);
        return string.Create(System.Globalization.CultureInfo.InvariantCulture, $"zpci,uid={uid},fid={fid},target={target}");
    }

    private static void WriteProperty(Utf8JsonWriter json, string name, object value)
    {
        switch (value)
        {
            case string text:
                json.WriteString(name, text);
                break;
            case bool flag:
                json.WriteBoolean(name, flag);
                break;
            case int or long or uint or ulong:
                json.WriteNumber(name, Convert.ToDecimal(value, System.Globalization.CultureInfo.InvariantCulture));
                break;
            default:
                throw new ArgumentException(
                    $"property {name} of a vfio-user device is a {value.GetType().Name}; give a string, a boolean or a whole number", nameof(value));
        }
    }
}
