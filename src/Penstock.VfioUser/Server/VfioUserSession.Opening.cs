using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.VfioUser;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <content>The session as a user of VFIO: group, container, device file.</content>
internal sealed unsafe partial class VfioUserSession
{
    private bool TryOpenDevice()
    {
        try
        {
            OpenDevice();
            return true;
        }
        catch (VfioException refused)
        {
            AnswerRefusal(refused.Errno);
            End(SessionEndKind.Refused, refused.Message);
            return false;
        }
    }

    /// <summary>Whoever is refused learns why from the reply to his first command.</summary>
    private void AnswerRefusal(Errno errno)
    {
        if (Poll.Wait(_socket.Descriptor, PollEvents.In, _options.PeerTimeout) != PollEvents.None
            && _receiver.Receive(wait: false, out Span<byte> message) == ReceiveStatus.Message)
        {
            ReplyError(MemoryMarshal.Read<VfioUserHeader>(message), errno);
        }
    }

    private void OpenDevice()
    {
        Caller caller = Caller.ForPeer(_peer.UserId);
        _group = _endpoint.Host.OpenGroup(_endpoint.GroupNumber, caller);
        _container = _endpoint.Host.OpenContainer(caller);
        _group.SetContainer(_container);
        _container.SetIommu(Specs.Vfio.VfioIommuType.Type1V2);
        _file = _group.OpenDevice(_endpoint.DeviceName);
        _regionSizes = new ulong[_file.GetInfo().RegionCount];
        for (int i = 0; i < _regionSizes.Length; i++)
        {
            _regionSizes[i] = GetRegion((uint)i).Size;
        }
    }
}
