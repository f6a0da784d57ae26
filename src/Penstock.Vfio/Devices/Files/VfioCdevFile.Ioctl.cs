using Penstock.Interop;
using Penstock.Specs.Iommufd;

namespace Penstock.Vfio;

/// <content>The kernel's structures over the typed calls.</content>
public sealed partial class VfioCdevFile
{
    /// <inheritdoc/>
    /// <exception cref="VfioException">
    /// ENOTTY: unknown number, EINVAL instead before the device is bound; EFAULT: no structure; EINVAL: too short, or unknown flags; E2BIG:
    /// BIND with more than is known; EBADF, EBADFD: not the descriptor of an iommufd; EOPNOTSUPP: a PASID; the errors of the typed call.
    /// </exception>
    public override int Ioctl(uint request, Span<byte> argument)
    {
        switch ((VfioCdevRequest)request)
        {
            case VfioCdevRequest.BindIommufd:
                IoctlBind(argument);
                return 0;
            case VfioCdevRequest.AttachIommufdPt:
                using (Enter("ATTACH_IOMMUFD_PT"))
                {
                    IoctlAttach(argument);
                    return 0;
                }

            case VfioCdevRequest.DetachIommufdPt:
                using (Enter("DETACH_IOMMUFD_PT"))
                {
                    IoctlDetach(argument);
                    return 0;
                }

            default:
                return base.Ioctl(request, argument);
        }
    }

    /// <summary>Whether the call is about a PASID, and has room for it.</summary>
    private bool IsForPasid(string what, VfioCdevFlags flags, uint size, int needed)
    {
        if ((flags & ~VfioCdevFlags.TokenOrPasid) != 0)
        {
            throw new VfioException(Errno.EINVAL, what, $"unknown flags {flags}");
        }

        if (flags != 0 && !Device.TakesPasids)
        {
            throw new VfioException(Errno.EOPNOTSUPP, what, "the device takes no PASIDs");
        }

        return flags != 0 && (size >= (uint)needed ? true : throw new VfioException(Errno.EINVAL, what, $"{size} bytes have no room for a PASID"));
    }

    private void IoctlBind(Span<byte> argument)
    {
        const string What = "BIND_IOMMUFD";
        VfioDeviceBindIommufd call = Arguments.Take<VfioDeviceBindIommufd>(What, argument, VfioDeviceBindIommufd.MinimumLength);
        if (call.Iommufd < 0 || (call.Flags & ~VfioCdevFlags.TokenOrPasid) != 0)
        {
            throw new VfioException(Errno.EINVAL, What, $"descriptor {call.Iommufd}, flags {call.Flags}");
        }

        call.OutDeviceId = Bind(what => FindContext(what, call), static _ => { });
        Arguments.Put(argument, call);
    }

    private IommufdContext FindContext(string what, in VfioDeviceBindIommufd call)
    {
        if (call.Flags != 0)
        {
            throw new VfioException(Errno.EINVAL, what, "the device takes no token");
        }

        if (UserFiles.Find(call.Iommufd) is { } file)
        {
            return file as IommufdContext ?? throw new VfioException(Errno.EBADFD, what, $"descriptor {call.Iommufd} is no iommufd");
        }

        // A descriptor of the caller's own is open, but something else; one that is not open is EBADF.
        UserFiles.Duplicate(call.Iommufd).Dispose();
        throw new VfioException(Errno.EBADFD, what, $"descriptor {call.Iommufd} is no iommufd");
    }

    private void IoctlAttach(Span<byte> argument)
    {
        const string What = "ATTACH_IOMMUFD_PT";
        VfioDeviceAttachIommufdPt call = Arguments.TakeIgnoringRest<VfioDeviceAttachIommufdPt>(What, argument, VfioDeviceAttachIommufdPt.MinimumLength);
        call.PtId = IsForPasid(What, call.Flags, call.ArgumentSize, VfioDeviceAttachIommufdPt.Length)
            ? AttachPasid(call.PtId, call.Pasid)
            : Attach(call.PtId);
        Arguments.Put(argument, call);
    }

    private void IoctlDetach(Span<byte> argument)
    {
        const string What = "DETACH_IOMMUFD_PT";
        VfioDeviceDetachIommufdPt call = Arguments.TakeIgnoringRest<VfioDeviceDetachIommufdPt>(What, argument, VfioDeviceDetachIommufdPt.MinimumLength);
        if (IsForPasid(What, call.Flags, call.ArgumentSize, VfioDeviceDetachIommufdPt.Length))
        {
            DetachPasid(call.Pasid);
        }
        else
        {
            Detach();
        }
    }
}
