using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.RejectedDesigns;

/// <summary>
/// A backend that tells external users when it dies, as was once proposed for POWER: each registers a callback with a cookie at the container,
/// and must unregister exactly that pair.
/// </summary>
internal sealed class BackendDeathCallbacks : IommuBackendDriver
{
    private readonly List<(Action<object> Callback, object Cookie)> _users = [];

    public int Users => _users.Count;

    public override string Name => "backend with callbacks";

    public override bool Reports(VfioIommuType extension) => extension == VfioIommuType.SpaprTce;

    public override IommuBackend Open(VfioHost host, VfioIommuType type, Caller caller) => new Backend(this);

    public void Register(Action<object> callback, object cookie) => _users.Add((callback, cookie));

    public bool Unregister(Action<object> callback, object cookie) => _users.Remove((callback, cookie));

    private sealed class Backend(BackendDeathCallbacks owner) : IommuBackend
    {
        public override bool Reports(VfioIommuType extension) => owner.Reports(extension);

        public override void AttachGroup(IommuGroup group)
        {
        }

        public override void DetachGroup(IommuGroup group)
        {
        }

        public override void Release()
        {
            foreach ((Action<object> callback, object cookie) in owner._users)
            {
                callback(cookie);
            }

            owner._users.Clear();
        }
    }
}
