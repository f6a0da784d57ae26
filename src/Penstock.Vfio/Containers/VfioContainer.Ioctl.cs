using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <content>The kernel's structures over the typed calls.</content>
public sealed partial class VfioContainer
{
    /// <summary>A container call with the kernel's number and structure, which is answered in place, by the one who opened the container.</summary>
    /// <param name="request">The number, see <see cref="VfioContainerRequest"/>.</param>
    /// <param name="argument">The structure; for CHECK_EXTENSION and SET_IOMMU the number in 4 bytes.</param>
    /// <returns>What ioctl(2) returns.</returns>
    /// <exception cref="VfioException">
    /// EINVAL: a request that needs a backend and there is none, too short a structure, unknown flags; ENOTTY: the backend does not know the
    /// request; EFAULT: no structure, or a bad address in it; EBADF: closed; the errors of the typed call. The structure is then unchanged.
    /// </exception>
    public int Ioctl(uint request, Span<byte> argument) => Ioctl(request, argument, Caller, UserMemory);

    /// <summary>As <see cref="Ioctl(uint, Span{byte})"/>, by another process that has the file as well.</summary>
    /// <param name="request">The number.</param>
    /// <param name="argument">The structure.</param>
    /// <param name="caller">Who calls, and is charged for what it maps.</param>
    /// <param name="memory">What addresses in its structures mean.</param>
    /// <returns>What ioctl(2) returns.</returns>
    /// <exception cref="VfioException">As above.</exception>
    public int Ioctl(uint request, Span<byte> argument, Caller caller, IUserAddressSpace memory)
    {
        ArgumentNullException.ThrowIfNull(caller);
        ArgumentNullException.ThrowIfNull(memory);
        switch ((VfioContainerRequest)request)
        {
            case VfioContainerRequest.GetApiVersion:
                return ApiVersion;
            case VfioContainerRequest.CheckExtension:
                return CheckExtension(TypeOf(argument)) ? 1 : 0;
            case VfioContainerRequest.SetIommu:
                SetIommu(TypeOf(argument));
                return 0;
            default:
                lock (_gate)
                {
                    return RequireBackend("container call").Ioctl(request, argument, caller, memory);
                }
        }
    }

    private static VfioIommuType TypeOf(ReadOnlySpan<byte> argument) => argument.Length >= sizeof(int)
        ? (VfioIommuType)MemoryMarshal.Read<int>(argument)
        : throw new VfioException(Errno.EFAULT, "container call", "the number is missing");
}
