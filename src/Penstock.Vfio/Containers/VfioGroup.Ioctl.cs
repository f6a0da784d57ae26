using Penstock.Interop;

namespace Penstock.Vfio;

/// <content>The kernel's structures over the typed calls.</content>
public sealed partial class VfioGroup
{
    /// <inheritdoc/>
    public override int Ioctl(uint request, Span<byte> argument) =>
        throw new VfioException(Errno.ENOTTY, $"request 0x{request:x}", "a group does not know it");
}
