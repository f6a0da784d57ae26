using System.Runtime.InteropServices;
using System.Text;
using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <content>The kernel's structures over the typed calls.</content>
public sealed partial class VfioGroup
{
    /// <inheritdoc/>
    /// <remarks>
    /// <see cref="VfioGroupRequest"/> has the numbers. GET_DEVICE_FD answers with the number that the caller's files give to the new device
    /// file.
    /// </remarks>
    public override int Ioctl(uint request, Span<byte> argument)
    {
        switch ((VfioGroupRequest)request)
        {
            case VfioGroupRequest.GetStatus:
                const string GetStatusCall = "GROUP_GET_STATUS";
                VfioGroupStatus status = Arguments.TakeIgnoringRest<VfioGroupStatus>(GetStatusCall, argument, VfioGroupStatus.Length);
                status.Flags = GetStatus();
                Arguments.Put(argument, status);
                return 0;
            case VfioGroupRequest.SetContainer:
                IoctlSetContainer(argument);
                return 0;
            case VfioGroupRequest.UnsetContainer:
                UnsetContainer();
                return 0;
            case VfioGroupRequest.GetDeviceFd:
                return _files.InstallOrClose(OpenDevice(DeviceName(argument)));
            default:
                throw new VfioException(Errno.ENOTTY, $"request 0x{request:x}", "a group does not know it");
        }
    }

    private static string DeviceName(ReadOnlySpan<byte> argument)
    {
        const string What = "GROUP_GET_DEVICE_FD";
        int end = argument[..Math.Min(argument.Length, VfioGroupStatus.LongestDeviceName)].IndexOf((byte)0);
        return end >= 0 ? Encoding.UTF8.GetString(argument[..end])
            : argument.Length < VfioGroupStatus.LongestDeviceName ? throw new VfioException(Errno.EFAULT, What, "the name has no end")
            : throw new VfioException(Errno.EINVAL, What, $"the name is longer than {VfioGroupStatus.LongestDeviceName} bytes");
    }

    private void IoctlSetContainer(ReadOnlySpan<byte> argument)
    {
        const string What = "GROUP_SET_CONTAINER";
        if (argument.Length < sizeof(int))
        {
            throw new VfioException(Errno.EFAULT, What, "there is no descriptor");
        }

        int descriptor = MemoryMarshal.Read<int>(argument);
        switch (_files.Find(descriptor))
        {
            case VfioContainer container:
                SetContainer(container);
                break;
            case IommufdContext context:
                SetContainer(context);
                break;
            case var other:
                if (other is null)
                {
                    // One of the caller's own that is open is another file; one that is not open is EBADF.
                    _files.Duplicate(descriptor).Dispose();
                }

                lock (_state.Gate)
                {
                    ThrowUnlessContainerCanBeSet(What);
                }

                throw new VfioException(Errno.EBADFD, What, $"descriptor {descriptor} is neither a container nor an iommufd");
        }
    }
}
