using System.Text;
using Penstock.Specs.Nvme;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Devices;

/// <content>
/// Its state, as a table. Blocks in memory are part of it; a file is shared by source and destination, and only the one that runs has it in
/// use. Commands under way are carried out where the disk goes on.
/// </content>
public sealed partial class NvmeFunction
{
    private const int StateVersion = 2;

    /// <inheritdoc/>
    public DeviceStateTable State { get; }

    /// <inheritdoc/>
    /// <remarks>A disk whose doorbells are memory cannot be moved: hosts go on writing to the memory of the one that they had.</remarks>
    public MigrationFlags MigrationFlags => _doorbells is null ? MigrationFlags.All : MigrationFlags.None;

    /// <inheritdoc/>
    public void StateLoaded() => _controller.Loaded();

    /// <inheritdoc/>
    public void ActivityChanged(DeviceActivity activity) => _controller.ActivityChanged(activity);

    private DeviceStateTable DeclareState()
    {
        // Hosts know a disk by its serial number, and by identifiers that are made of it.
        byte[] serial = Encoding.ASCII.GetBytes(_controller.Options.SerialNumber.PadRight(NvmeIdentifyController.SerialNumberLength));
        DeviceStateTable table = new DeviceStateTable("nvme", StateVersion).Bytes(
            "serial",
            serial.Length,
            serial.CopyTo,
            static _ => { },
            bytes => bytes.SequenceEqual(serial)
                ? null
                : $"its serial number is {Encoding.ASCII.GetString(bytes).Trim()} and this one's {_controller.Options.SerialNumber}; serve both with one --serial");
        _controller.Declare(table);
        if (_backing is MemoryNvmeBacking memory)
        {
            int part = 0;
            foreach (Memory<byte> blocks in memory.Parts)
            {
                table.Memory($"blocks {part++}", blocks);
            }
        }

        return table;
    }
}
