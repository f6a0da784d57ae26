using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

/// <summary>A backend driver that offers one type and does nothing but count; it can refuse groups.</summary>
internal sealed class FakeBackendDriver(string name, VfioIommuType offers, Errno attachError = Errno.None) : IommuBackendDriver
{
    public List<string> Events { get; } = [];

    public Errno DetachError { get; set; }

    public override string Name => name;

    public override bool Reports(VfioIommuType extension) => extension == offers;

    public override IommuBackend Open(VfioHost host, VfioIommuType type, Caller caller)
    {
        Events.Add("open");
        return new Backend(this);
    }

    private sealed class Backend(FakeBackendDriver driver) : IommuBackend
    {
        public override bool Reports(VfioIommuType extension) => driver.Reports(extension);

        public override void AttachGroup(IommuGroup group)
        {
            if (driver.AttachError != Errno.None)
            {
                throw new VfioException(driver.AttachError, "attach", "the test wants it");
            }

            driver.Events.Add("attach");
        }

        public override void DetachGroup(IommuGroup group)
        {
            driver.Events.Add("detach");
            if (driver.DetachError != Errno.None)
            {
                throw new VfioException(driver.DetachError, "detach", "the test wants it");
            }
        }

        public override void Release() => driver.Events.Add("release");
    }

    private Errno AttachError => attachError;
}
