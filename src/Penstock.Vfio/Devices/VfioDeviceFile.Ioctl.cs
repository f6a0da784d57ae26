namespace Penstock.Vfio;

/// <content>The kernel's structures over the typed calls.</content>
public partial class VfioDeviceFile
{
    /// <inheritdoc/>
    public override int Ioctl(uint request, Span<byte> argument)
    {
        ThrowIfClosed($"request 0x{request:x}");
        return _device.Ioctl(request, argument);
    }
}
